"""Start and stop a whole stack."""

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
    """Start the programs that do not run and return when all are ready. Raises LocalError."""
    home.create()
    _warn_of_open_home(home)
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
    """Stop all programs, services before parts. Raises LocalError when a process remains."""
    if not home.path.exists():
        _sweep(home)  # the folder may have been removed while the stack ran
        return
    with home.locked():
        blueprint = _running(home, State.load(home))
        if blueprint:
            for tier in reversed(blueprint.tiers):
                stop(blueprint, tier)
            blueprint.supervisor.shut_down()
        _sweep(home)


def running(home: Home) -> Blueprint | None:
    """Return the stack if its supervisor answers."""
    return _running(home, State.load(home))


def last_lines(log: Path) -> str:
    """Return the last lines of a log, or an empty string where there is none."""
    if not log.exists():
        return ""
    with log.open(errors="replace") as lines:
        return "".join(deque(lines, LOG_LINES)).rstrip()


def supervise(blueprint: Blueprint) -> None:
    """Start a supervisor with every program of the stack, all of them stopped. Raises LocalError."""
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
    """Stop the programs together and wait until each has stopped, or its supervisor should have killed it."""
    for program in programs:
        blueprint.supervisor.stop(program.name)
    for program in programs:
        with step(f"Stopping {program.name}"):
            deadline = time.monotonic() + program.stop_seconds + SWEEP_SECONDS
            while blueprint.supervisor.states()[program.name].alive and time.monotonic() < deadline:
                time.sleep(PAUSE_SECONDS)


def _warn_of_open_home(home: Home) -> None:
    if home.is_open:
        console.print(
            f"Other users can open {home.path}, which will hold the stack's keys, passwords and data."
            f" Close it with `chmod 700 {shlex.quote(str(home.path))}`.",
            style="yellow",
            markup=False,
        )


def _warn_of_new_services(blueprint: Blueprint) -> None:
    """Name the services that were added to services.toml after the stack was started."""
    known = {service.name for service in blueprint.services}
    if new := [service.name for service in read_services() if service.name not in known]:
        console.print(
            f"Not part of the running stack: {', '.join(new)}. Run `make down`, then `make up` to start all.",
            style="yellow",
        )


def _running(home: Home, state: State) -> Blueprint | None:
    if not state.is_complete:
        return None
    blueprint = Blueprint.draw(home, state, read_services())
    return blueprint if blueprint.supervisor.answers() else None


def _begin(home: Home, state: State) -> Blueprint:
    """Start a supervisor for a stack without one. Raises LocalError."""
    _sweep(home)
    services = read_services()
    for name in state.complete(services):
        console.print(f"Another program uses the last {name} port. The new one is {state.ports[name]}.")
    state.save(home)
    blueprint = Blueprint.draw(home, state, services)
    with step("Preparing PostgreSQL, RabbitMQ, S3 and the edge"):
        for part in blueprint.parts:
            part.prepare()
    supervise(blueprint)
    return blueprint


def _prepare_services(blueprint: Blueprint, state: State) -> None:
    """Migrate the database and create bucket, keys, model and environment file. Safe to repeat. Raises LocalError."""
    home, settings = blueprint.home, blueprint.settings
    model = settings["DARKROOM_MODEL"]
    if setup.model_is_missing(home, model):
        with step(f"Installing the model {model}"):
            setup.provide_model(home, model)
    if _all_alive(blueprint, blueprint.tiers[-1]):
        return
    with step("Migrating the database"):
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
        f"{program.name} {what}. The last lines of its log, {log}:\n\n{last_lines(log)}\n\n"
        "Fix the cause and run `make up` again, or stop the other programs with `make down`.",
    )


def _sweep(home: Home) -> None:
    """Stop processes without a supervisor, services before parts. Raises LocalError when one remains."""
    foundations = {"postgres", "rabbitmq", "s3", "epmd"}
    found = processes.of_stack(home.path)
    upper = [process for process in found if processes.program_name(process) not in foundations]
    processes.stop(upper, SWEEP_SECONDS)
    for name in ("rabbitmq", None):
        rest = processes.of_stack(home.path)
        processes.stop([process for process in rest if name in (None, processes.program_name(process))], SWEEP_SECONDS)
    if left := processes.of_stack(home.path):
        pids = " ".join(str(process.pid) for process in left)
        raise LocalError(f"Some processes did not stop. Kill them with `kill -9 {pids}`.")
