"""The status of a stack and of each of its programs."""

import time
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from darkroom_local.blueprint import Blueprint


@dataclass(frozen=True)
class ProgramStatus:
    """The status of one program."""

    name: str
    state: str
    """State in supervisord's terms: RUNNING, STARTING, STOPPED, BACKOFF, EXITED, FATAL, ..."""
    ready: bool
    pid: int | None
    uptime_seconds: int | None


@dataclass(frozen=True)
class StackStatus:
    """The status of a stack. Without a supervisor that answers, `running` is false and `programs` is empty."""

    running: bool
    home: str
    url: str | None
    supervisor_pid: int | None
    programs: list[ProgramStatus]

    def as_json(self) -> dict[str, Any]:
        """Return the status as `make status ARGS=--json` prints it."""
        return asdict(self)


def look(home: str, blueprint: Blueprint | None) -> StackStatus:
    """Return the current status of a stack; `blueprint` is None when it is not running."""
    if blueprint is None:
        return StackStatus(running=False, home=home, url=None, supervisor_pid=None, programs=[])
    states = blueprint.supervisor.states()
    programs = [
        ProgramStatus(
            name=program.name,
            state=(state := states[program.name]).state,
            ready=state.alive and program.ready(),
            pid=state.pid,
            uptime_seconds=round(time.time() - state.started_at) if state.started_at else None,
        )
        for program in blueprint.programs
    ]
    return StackStatus(True, home, blueprint.edge.url, blueprint.supervisor.pid(), programs)


def table(status: StackStatus) -> Table:
    """Return the status as a table."""
    shown = Table("program", "state", "ready", "pid", "uptime")
    for program in status.programs:
        ready = "[green]yes[/]" if program.ready else "[red]no[/]"
        uptime = "" if program.uptime_seconds is None else f"{program.uptime_seconds} s"
        shown.add_row(program.name, program.state.lower(), ready, str(program.pid or ""), uptime)
    return shown
