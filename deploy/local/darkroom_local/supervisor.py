"""supervisord: its configuration and its XML-RPC interface."""

import http.client
import os
import pwd
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from xml.parsers.expat import ExpatError

from darkroom_local.errors import LocalError
from darkroom_local.home import Home, write_private
from darkroom_local.ports import LOOPBACK
from darkroom_local.processes import MARK
from darkroom_local.program import Program, base_environment

USER = "darkroom"
START_SECONDS = 15.0
CALL_SECONDS = 30.0
"""How long supervisord may take for an answer. It never waits for a program, so it is at once unless it is stuck."""


@dataclass(frozen=True)
class ProcessState:
    """The state of a program in supervisord's terms: RUNNING, STARTING, STOPPED, BACKOFF, EXITED, FATAL, ..."""

    name: str
    state: str
    pid: int | None
    started_at: float | None
    """Seconds since the epoch."""

    @property
    def alive(self) -> bool:
        """Whether it runs, or supervisord is starting, restarting or stopping it."""
        return self.state in ("RUNNING", "STARTING", "BACKOFF", "STOPPING")


@dataclass(frozen=True)
class Supervisor:
    """The supervisord of one stack, which listens on a loopback port."""

    home: Home
    port: int
    password: str

    def write_configuration(self, programs: Iterable[Program]) -> None:
        """Write supervisord's configuration. Commands and secrets are in the programs file, apart from its password.

        Paths are relative to the stack's folder, since supervisord expands percent signs in them, in some twice.
        """
        sections = [self._own_sections(), *(self._program_section(program) for program in programs)]
        write_private(self.home.supervisor_file, "\n".join(sections))

    def launch(self) -> None:
        """Start supervisord as a daemon and wait until it answers. Raises LocalError."""
        command = (sys.executable, "-m", "supervisor.supervisord", "-c", str(self.home.supervisor_file))
        environment = {**base_environment(), MARK: str(self.home.path)}
        home = self.home.path
        done = subprocess.run(
            command, cwd=home, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode:
            raise LocalError(f"supervisord did not start: {(done.stderr or done.stdout).strip()}")
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if time.monotonic() > deadline:
                raise LocalError(f"supervisord does not answer. See its log, {self.home.logs / 'supervisord.log'}.")
            time.sleep(0.05)

    def answers(self) -> bool:
        """Return whether supervisord answers with this password."""
        try:
            self._call("supervisor.getPID")
        except LocalError:
            return False
        return True

    def pid(self) -> int:
        """Return supervisord's own pid. Raises LocalError."""
        return int(self._call("supervisor.getPID"))

    def states(self) -> dict[str, ProcessState]:
        """Return the states of all programs by name. Raises LocalError."""
        found = self._call("supervisor.getAllProcessInfo")
        return {info["name"]: _state(info) for info in found}

    def start(self, name: str) -> None:
        """Start a program unless it runs, without waiting. Raises LocalError."""
        if not self.states()[name].alive:
            self._call("supervisor.startProcess", name, False)

    def stop(self, name: str) -> None:
        """Stop a program if it runs, without waiting. Raises LocalError."""
        if self.states()[name].alive:
            self._call("supervisor.stopProcess", name, False)

    def shut_down(self) -> None:
        """Stop all programs and supervisord, without waiting. Raises LocalError."""
        self._call("supervisor.shutdown")

    def _call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the XML-RPC interface. Raises LocalError when supervisord does not answer or refuses."""
        url = f"http://{USER}:{self.password}@{LOOPBACK}:{self.port}/RPC2"
        try:
            with xmlrpc.client.ServerProxy(url, _Transport()) as proxy:
                return getattr(proxy, method)(*arguments)
        except (OSError, http.client.HTTPException, xmlrpc.client.Error, ExpatError) as error:
            raise LocalError(f"The call of {method} to supervisord failed: {error}") from error

    def _own_sections(self) -> str:
        # Set even for the current user: as root, supervisord warns when the configuration names no user.
        user = pwd.getpwuid(os.geteuid()).pw_name
        return f"""\
[supervisord]
logfile = logs/supervisord.log
logfile_maxbytes = 5MB
logfile_backups = 1
pidfile = supervisord.pid
directory = .
childlogdir = logs
user = {user}

[inet_http_server]
port = {LOOPBACK}:{self.port}
username = {USER}
password = {self.password}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""

    def _program_section(self, program: Program) -> str:
        launch = (sys.executable, "-m", "darkroom_local.launch", self.home.programs_file.name, program.name)
        return f"""\
[program:{program.name}]
command = {shlex.join(launch).replace("%", "%%")}
autostart = false
autorestart = unexpected
exitcodes = {",".join(map(str, program.permanent_exit_codes))}
startsecs = 1
startretries = 3
stopsignal = {program.stop_signal}
stopwaitsecs = {program.stop_seconds}
redirect_stderr = true
stdout_logfile = logs/{program.name}.log
stdout_logfile_maxbytes = 10MB
stdout_logfile_backups = 2
"""


class _Transport(xmlrpc.client.Transport):
    """Bounds every call: a supervisord that is suspended accepts connections, and never answers."""

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = super().make_connection(host)
        connection.timeout = CALL_SECONDS
        return connection


def _state(info: dict[str, Any]) -> ProcessState:
    running = bool(info["pid"])
    return ProcessState(
        name=info["name"],
        state=info["statename"],
        pid=info["pid"] if running else None,
        started_at=float(info["start"]) if running else None,
    )
