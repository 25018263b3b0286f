"""How a stack is, program by program."""

import time
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from darkroom_local.blueprint import Blueprint


@dataclass(frozen=True)
class ProgramStatus:
    name: str
    state: str
    """supervisord's word: RUNNING, STARTING, STOPPED, BACKOFF, FATAL, ..."""
    ready: bool
    pid: int | None
    uptime_seconds: int | None


@dataclass(frozen=True)
class StackStatus:
    """`running` when the supervisor answers; without it there are no programs to tell of."""

    running: bool
    home: str
    url: str | None
    supervisor_pid: int | None
    programs: list[ProgramStatus]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def look(home: str, blueprint: Blueprint | None) -> StackStatus:
    """The stack now."""
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
    """The stack as a person reads it."""
    shown = Table("program", "state", "ready", "pid", "up")
    for program in status.programs:
        ready = "[green]yes[/]" if program.ready else "[red]no[/]"
        uptime = "" if program.uptime_seconds is None else f"{program.uptime_seconds} s"
        shown.add_row(program.name, program.state.lower(), ready, str(program.pid or ""), uptime)
    return shown
