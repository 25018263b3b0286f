"""supervisord: its configuration, and talking to it."""

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

from darkroom_local.errors import LocalError
from darkroom_local.home import Home, write_private
from darkroom_local.ports import LOOPBACK
from darkroom_local.processes import MARK
from darkroom_local.program import Program, base_environment

USER = "darkroom"
START_SECONDS = 15.0


@dataclass(frozen=True)
class ProcessState:
    """What supervisord knows of a program. `state` is one of its words: RUNNING, STARTING, BACKOFF, FATAL, ..."""

    name: str
    state: str
    pid: int | None
    started_at: float | None
    """Seconds since the epoch."""

    @property
    def alive(self) -> bool:
        return self.state in ("RUNNING", "STARTING", "BACKOFF", "STOPPING")


@dataclass(frozen=True)
class Supervisor:
    """One supervisord on a loopback port, which keeps a stack's programs running."""

    home: Home
    port: int
    password: str

    def write_configuration(self, programs: Iterable[Program]) -> None:
        """No secrets but the port's password; what runs is in the programs file.

        Paths are relative to the stack's folder: supervisord would expand a percent sign in them, some even twice.
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
                raise LocalError(f"supervisord does not answer; see {self.home.logs / 'supervisord.log'}.")
            time.sleep(0.05)

    def answers(self) -> bool:
        try:
            self._call("supervisor.getPID")
        except LocalError:
            return False
        return True

    def pid(self) -> int:
        return int(self._call("supervisor.getPID"))

    def states(self) -> dict[str, ProcessState]:
        """All programs by name."""
        found = self._call("supervisor.getAllProcessInfo")
        return {info["name"]: _state(info) for info in found}

    def start(self, name: str) -> None:
        """Start a program unless it runs; does not wait."""
        if not self.states()[name].alive:
            self._call("supervisor.startProcess", name, False)

    def stop(self, name: str) -> None:
        """Ask a program to stop; does not wait."""
        if self.states()[name].alive:
            self._call("supervisor.stopProcess", name, False)

    def shut_down(self) -> None:
        self._call("supervisor.shutdown")

    def _call(self, method: str, *arguments: Any) -> Any:
        """Raises LocalError when supervisord is not there or refuses."""
        url = f"http://{USER}:{self.password}@{LOOPBACK}:{self.port}/RPC2"
        try:
            with xmlrpc.client.ServerProxy(url) as proxy:
                return getattr(proxy, method)(*arguments)
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise LocalError(f"supervisord does not do {method}: {error}") from error

    def _own_sections(self) -> str:
        # Said also where it is a matter of course: as root, supervisord warns when nobody tells it to stay root.
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


def _state(info: dict[str, Any]) -> ProcessState:
    running = bool(info["pid"])
    return ProcessState(
        name=info["name"],
        state=info["statename"],
        pid=info["pid"] if running else None,
        started_at=float(info["start"]) if running else None,
    )
