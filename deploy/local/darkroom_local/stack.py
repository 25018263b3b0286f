"""Starting a whole stack and stopping it."""

import shlex
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from darkroom_local import processes, setup
from darkroom_local.blueprint import Blueprint
from darkroom_local.console import console, step
from darkroom_local.environment import BUCKET, write_env_file
from darkroom_local.errors import LocalError, ProgramFailedError
from darkroom_local.home import Home
from darkroom_local.launch import describe
from darkroom_local.program import Program
from darkroom_local.services import read_services
from darkroom_local.state import State

PAUSE_SECONDS = 0.1
LOG_LINES = 20
SWEEP_SECONDS = 30


def up(home: Home) -> Blueprint:
    """Start what does not run yet, and return when all of it is ready. Raises LocalError."""
    home.create()
    _warn_of_others(home)
    with home.locked():
        state = State.load(home)
        blueprint = _running(home, state) or _begin(home, state)
        _warn_of_new_services(blueprint)
        foundations, broker, services = blueprint.tiers
        start(blueprint, foundations)
        start(blueprint, broker)
        _prepare_services(blueprint, state)
        start(blueprint, services)
        return blueprint


def down(home: Home) -> None:
    """Stop everything, services before what they stand on. Raises LocalError when something is left."""
    if not home.path.exists():
        return
    with home.locked():
        blueprint = _running(home, State.load(home))
        if blueprint:
            for tier in reversed(blueprint.tiers):
                stop(blueprint, tier)
            blueprint.supervisor.shut_down()
        _sweep(home)


def running(home: Home) -> Blueprint | None:
    """The stack as it was started, if its supervisor answers."""
    return _running(home, State.load(home))


def last_lines(log: Path, count: int = LOG_LINES) -> str:
    """The end of a program's log."""
    if not log.exists():
        return ""
    with log.open(errors="replace") as lines:
        return "".join(deque(lines, count)).rstrip()


def supervise(blueprint: Blueprint) -> None:
    """Start a supervisor that knows every program of the stack and runs none of them yet. Raises LocalError."""
    home = blueprint.home
    describe(home.programs_file, blueprint.programs, {processes.MARK: str(home.path)})
    blueprint.supervisor.write_configuration(blueprint.programs)
    blueprint.supervisor.launch()


def start(blueprint: Blueprint, programs: Iterable[Program]) -> None:
    """Start the programs together and wait until each is ready. Raises ProgramFailedError."""
    for program in programs:
        blueprint.supervisor.start(program.name)
    for program in programs:
        if not program.ready():
            with step(f"Starting {program.name}"):
                _await_ready(blueprint, program)


def stop(blueprint: Blueprint, programs: Iterable[Program]) -> None:
    """Stop the programs together and wait until each has stopped, for as long as the supervisor needs to kill it."""
    for program in programs:
        blueprint.supervisor.stop(program.name)
    for program in programs:
        with step(f"Stopping {program.name}"):
            deadline = time.monotonic() + program.stop_seconds + SWEEP_SECONDS
            while blueprint.supervisor.states()[program.name].alive and time.monotonic() < deadline:
                time.sleep(PAUSE_SECONDS)


def _warn_of_others(home: Home) -> None:
    if home.is_open:
        console.print(
            f"Other users have access to {home.path}, which existed before and keeps its mode; the stack's keys,"
            f" passwords and data in it are for you alone. `chmod 700 {shlex.quote(str(home.path))}` closes it.",
            style="yellow",
            markup=False,
        )


def _warn_of_new_services(blueprint: Blueprint) -> None:
    """Name the services that supervisord does not know, since it was started before services.toml named them."""
    known = {service.name for service in blueprint.services}
    if new := [service.name for service in read_services() if service.name not in known]:
        names = ", ".join(new)
        console.print(
            f"Not started: {names}. To add it to the running stack, run `make down`, then `make up`.", style="yellow"
        )


def _running(home: Home, state: State) -> Blueprint | None:
    if "supervisor" not in state.ports:
        return None
    blueprint = Blueprint.draw(home, state, read_services())
    return blueprint if blueprint.supervisor.answers() else None


def _begin(home: Home, state: State) -> Blueprint:
    """Start a supervisor for a stack that has none."""
    _sweep(home)
    services = read_services()
    for name in state.settle(services):
        console.print(f"The {name} port of the last start is taken now; it moved to {state.ports[name]}.")
    state.save(home)
    blueprint = Blueprint.draw(home, state, services)
    with step("Preparing PostgreSQL, RabbitMQ, S3 and the edge"):
        for part in blueprint.parts:
            part.prepare()
    supervise(blueprint)
    return blueprint


def _prepare_services(blueprint: Blueprint, state: State) -> None:
    """All of it is safe to repeat."""
    home, settings = blueprint.home, blueprint.settings
    model = settings["DARKROOM_MODEL"]
    if setup.model_is_missing(home, model):
        with step(f"Putting the model {model} in place"):
            setup.provide_model(home, model)
    if _all_alive(blueprint, blueprint.tiers[-1]):
        return
    with step("Bringing the database up to date"):
        setup.migrate(settings)
        setup.create_bucket(blueprint.s3, BUCKET)
    for scope in ("client", "operator"):
        if scope not in state.keys:
            state.keys[scope] = setup.create_key(scope, settings)
            state.save(home)
    write_env_file(home, state, settings)


def _all_alive(blueprint: Blueprint, programs: Iterable[Program]) -> bool:
    states = blueprint.supervisor.states()
    return all(states[program.name].alive for program in programs)


def _await_ready(blueprint: Blueprint, program: Program) -> None:
    deadline = time.monotonic() + program.start_seconds
    while not program.ready():
        if not blueprint.supervisor.states()[program.name].alive:
            raise _failure(blueprint, program, "did not start")
        if time.monotonic() > deadline:
            raise _failure(blueprint, program, f"is not ready after {program.start_seconds} s")
        time.sleep(PAUSE_SECONDS)


def _failure(blueprint: Blueprint, program: Program, what: str) -> ProgramFailedError:
    log = blueprint.home.logs / f"{program.name}.log"
    return ProgramFailedError(
        program.name,
        f"{program.name} {what}. Its log ({log}) ends:\n\n{last_lines(log)}\n\n"
        "Mend what it says and run `make up` again, or stop the rest with `make down`.",
    )


def _sweep(home: Home) -> None:
    """Stop what runs without a supervisor, services before what they stand on. Raises LocalError if it won't go."""
    foundations = {"postgres", "rabbitmq", "s3", "epmd"}
    found = processes.of_stack(home.path)
    upper = [process for process in found if processes.program_name(process) not in foundations]
    processes.stop(upper, SWEEP_SECONDS)
    for name in ("rabbitmq", None):
        rest = processes.of_stack(home.path)
        processes.stop([process for process in rest if name in (None, processes.program_name(process))], SWEEP_SECONDS)
    if left := processes.of_stack(home.path):
        raise LocalError(f"These processes would not stop: {', '.join(str(process.pid) for process in left)}.")
