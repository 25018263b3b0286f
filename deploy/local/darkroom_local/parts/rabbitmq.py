"""RabbitMQ: a private node of the installed rabbitmq-server, with its own epmd."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from darkroom_local.errors import MissingPartError
from darkroom_local.home import make_private
from darkroom_local.ports import LOOPBACK
from darkroom_local.probes import http_status, listens
from darkroom_local.program import Program

USER = "darkroom"
VHOST = "darkroom"
# The wrapper in /usr/sbin uses the system's user and node; it runs the script in one of these folders.
SERVER_SCRIPTS = ("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin", "/opt/rabbitmq/sbin")
MISSING = "RabbitMQ is missing. Install version 3.10 or newer: `apt-get install rabbitmq-server`."


@dataclass(frozen=True)
class RabbitMQPorts:
    amqp: int
    management: int
    prometheus: int
    distribution: int
    epmd: int


@dataclass(frozen=True)
class RabbitMQ:
    """One node. All of its ports, those of distribution and epmd included, listen on loopback only."""

    folder: Path
    ports: RabbitMQPorts
    password: str
    cookie: str

    @property
    def url(self) -> str:
        """AMQP URL of the node's default vhost."""
        return f"amqp://{USER}:{self.password}@{LOOPBACK}:{self.ports.amqp}/{VHOST}"

    @property
    def management_url(self) -> str:
        """URL of the management API, credentials included."""
        return f"http://{USER}:{self.password}@{LOOPBACK}:{self.ports.management}"

    @property
    def node(self) -> str:
        return f"darkroom-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]}@localhost"

    def prepare(self) -> None:
        make_private(self.folder)
        self._write("enabled_plugins", "[rabbitmq_management,rabbitmq_prometheus].\n")
        self._write("rabbitmq.conf", self._configuration())
        # Deliberately empty: without this file RabbitMQ reads /etc/rabbitmq/rabbitmq-env.conf.
        self._write("rabbitmq-env.conf", "")
        self._write(".erlang.cookie", self.cookie, mode=0o400)

    def programs(self) -> tuple[Program, ...]:
        return self._epmd(), self._server()

    def _epmd(self) -> Program:
        """Return epmd. Without it Erlang starts one as a daemon that outlives the node."""
        return Program(
            name="epmd",
            command=(_find_epmd(), "-address", LOOPBACK, "-port", str(self.ports.epmd)),
            directory=self.folder,
            ready=lambda: listens(self.ports.epmd),
        )

    def _server(self) -> Program:
        return Program(
            name="rabbitmq",
            command=(str(_find_server()),),
            directory=self.folder,
            environment=self._environment(),
            ready=self._is_ready,
            stop_seconds=60,
            start_seconds=120,
        )

    def _is_ready(self) -> bool:
        """Return whether the management API accepts the user and reports that the AMQP listener is open."""
        check = f"/api/health/checks/port-listener/{self.ports.amqp}"
        return http_status(self.ports.management, check, (USER, self.password)) == 200

    def _configuration(self) -> str:
        return f"""\
listeners.tcp.1 = {LOOPBACK}:{self.ports.amqp}
management.tcp.ip = {LOOPBACK}
management.tcp.port = {self.ports.management}
prometheus.tcp.ip = {LOOPBACK}
prometheus.tcp.port = {self.ports.prometheus}
default_vhost = {VHOST}
default_user = {USER}
default_pass = {self.password}
default_user_tags.administrator = true
# The default of 512 MB for a write-ahead log file is large for a development machine.
raft.wal_max_size_bytes = 67108864
"""

    def _environment(self) -> dict[str, str]:
        folder = self.folder
        return {
            "HOME": str(folder),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_EPMD_PORT": str(self.ports.epmd),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self.ports.amqp),
            "RABBITMQ_DIST_PORT": str(self.ports.distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_PLUGINS_EXPAND_DIR": str(folder / "plugins"),
            "RABBITMQ_SCHEMA_DIR": str(folder / "schema"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_LOGS": "-",
            # Makes the script replace itself with the Erlang VM, so that its pid is the broker's.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _write(self, name: str, text: str, mode: int = 0o600) -> None:
        path = self.folder / name
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)
        path.chmod(mode)


def is_installed() -> bool:
    """Return whether RabbitMQ and Erlang are installed."""
    try:
        _find_server()
        _find_epmd()
    except MissingPartError:
        return False
    return True


def _find_server() -> Path:
    for pattern in SERVER_SCRIPTS:
        found = sorted(Path("/").glob(f"{pattern.lstrip('/')}/rabbitmq-server"))
        if found:
            return found[-1]
    raise MissingPartError(MISSING)


def _find_epmd() -> str:
    found = shutil.which("epmd") or next(Path("/usr/lib/erlang").glob("erts-*/bin/epmd"), None)
    if found is None:
        raise MissingPartError(MISSING)
    return str(found)
