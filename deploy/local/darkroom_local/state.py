"""The state of a stack that outlives it: ports, passwords and development keys."""

import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

import msgspec

from darkroom_local.errors import LocalError
from darkroom_local.home import Home, write_private
from darkroom_local.ports import free_port, is_free
from darkroom_local.services import Service

PREFERRED_EDGE_PORT = 8080
PART_PORTS = (
    "edge",
    "postgres",
    "s3",
    "amqp",
    "management",
    "prometheus",
    "distribution",
    "epmd",
    "supervisor",
)
SECRETS = {
    "postgres": 20,
    "amqp": 20,
    "erlang_cookie": 20,
    "s3_access_key": 20,
    "s3_secret_key": 20,
    "supervisor": 20,
    "webhooks_master_key": 32,
}
"""Bytes of each secret."""


@dataclass
class State:
    """The contents of `state.json`, which only its owner can read."""

    ports: dict[str, int] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    """API keys by scope."""

    @classmethod
    def load(cls, home: Home) -> "State":
        """Return the saved state, or an empty one for a stack that never started. Raises LocalError."""
        if not home.state_file.exists():
            return cls()
        try:
            return msgspec.json.decode(home.state_file.read_bytes(), type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LocalError(
                f"{home.state_file} is damaged ({error}). It holds the passwords of the stack's data: restore it, or"
                f" move {home.path} away to begin with a new stack; `make down` stops what still runs."
            ) from error

    def save(self, home: Home) -> None:
        """Replace the state file atomically."""
        write_private(home.state_file, json.dumps(asdict(self), indent=2) + "\n")

    @property
    def is_complete(self) -> bool:
        """Whether it has all that the parts need: another version's can lack some."""
        return self.ports.keys() >= set(PART_PORTS) and self.secrets.keys() >= SECRETS.keys()

    def complete(self, services: Iterable[Service]) -> list[str]:
        """Choose missing ports and secrets for a stack that does not run now; return the names of ports that moved.

        Ports that neither a part nor one of `services` uses are removed. Raises LocalError when DARKROOM_PORT is not a
        free port.
        """
        names = (*PART_PORTS, *(service.port_name for service in services))
        self.ports = {name: port for name, port in self.ports.items() if name in names}
        for name, size in SECRETS.items():
            self.secrets.setdefault(name, secrets.token_hex(size))
        moved = [name for name, port in self.ports.items() if not is_free(port)]
        for name in moved:
            del self.ports[name]
        self._choose_edge_port()
        for name in names:
            if name not in self.ports:
                self.ports[name] = free_port(self.ports.values())
        return moved

    def _choose_edge_port(self) -> None:
        chosen = os.environ.get("DARKROOM_PORT")
        if chosen:
            self.ports["edge"] = _chosen_port(chosen)
        elif "edge" not in self.ports and is_free(PREFERRED_EDGE_PORT):
            self.ports["edge"] = PREFERRED_EDGE_PORT


def _chosen_port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise LocalError(f"DARKROOM_PORT is {text!r}. Set it to a port number, 1 to 65535.")
    if not is_free(int(text)):
        raise LocalError(f"DARKROOM_PORT is {text}, but another program listens on that port. Choose another.")
    return int(text)
