"""supervisord starts, restarts and stops the programs."""

import os
import re
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest

from darkroom_local import processes
from darkroom_local.errors import LocalError
from darkroom_local.home import Home
from darkroom_local.launch import describe
from darkroom_local.program import Program
from darkroom_local.supervisor import Supervisor
from gpu_consumer.startup import ExitCode
from tests.support.ports import free_port
from tests.support.waiting import eventually

OPERATING = Path(__file__).parents[3] / "docs" / "operating.md"
SLEEP = "import time; time.sleep(600)"
# It runs for longer than supervisord takes for a failed start.
REFUSE = "import sys, time; print('no model here'); time.sleep(1.5); sys.exit(65)"
EXIT_CODES: dict[str, tuple[int, ...]] = {"sleeper": (), "refuser": (64, 65)}


def program(name: str, code: str, folder: Path) -> Program:
    return Program(
        name=name,
        command=(sys.executable, "-c", code),
        directory=folder,
        ready=lambda: True,
        environment={"SECRET": "in-the-environment"},
        permanent_exit_codes=EXIT_CODES[name],
    )


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """Start a supervisor with a program that runs and one that refuses to, in a folder with special characters."""
    home = Home(tmp_path / "a 100%s folder")
    home.create()
    programs = [program("sleeper", SLEEP, home.path), program("refuser", REFUSE, home.path)]
    describe(home.programs_file, programs, {processes.MARK: str(home.path)})
    supervisor = Supervisor(home, free_port(), "a-password")
    supervisor.write_configuration(programs)
    supervisor.launch()
    yield supervisor
    processes.stop(processes.of_stack(home.path), seconds=10)


def state_is(supervisor: Supervisor, name: str, state: str) -> Callable[[], bool]:
    return lambda: supervisor.states()[name].state == state


async def test_nothing_runs_until_it_is_started(supervisor: Supervisor) -> None:
    """supervisord starts no program by itself: the stack decides the order."""
    assert {state.state for state in supervisor.states().values()} == {"STOPPED"}
    assert not any(state.alive for state in supervisor.states().values())


async def test_a_killed_program_comes_back(supervisor: Supervisor) -> None:
    """A program whose process is killed is started again."""
    supervisor.start("sleeper")
    await eventually(state_is(supervisor, "sleeper", "RUNNING"))
    first = supervisor.states()["sleeper"].pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: supervisor.states()["sleeper"].pid not in (first, None))


async def test_a_drained_program_comes_back(supervisor: Supervisor) -> None:
    """A program that gets SIGTERM from elsewhere is started again too."""
    supervisor.start("sleeper")
    await eventually(state_is(supervisor, "sleeper", "RUNNING"))
    first = supervisor.states()["sleeper"].pid
    assert first is not None
    os.kill(first, signal.SIGTERM)
    await eventually(lambda: supervisor.states()["sleeper"].pid not in (first, None))


async def test_a_refusal_is_not_repeated(supervisor: Supervisor) -> None:
    """A program that ends with a permanent exit code stays stopped, and its log has the reason."""
    supervisor.start("refuser")
    await eventually(state_is(supervisor, "refuser", "EXITED"))
    assert (supervisor.home.logs / "refuser.log").read_text() == "no model here\n"


async def test_every_permanent_exit_code_ends_the_restarts(supervisor: Supervisor) -> None:
    """Each program has its own codes; one without codes is always started again."""
    configured = ConfigParser(interpolation=None)
    configured.read(supervisor.home.supervisor_file)
    for name, codes in EXIT_CODES.items():
        assert configured[f"program:{name}"]["exitcodes"] == ",".join(map(str, codes))


@pytest.mark.parametrize("code", ExitCode)
def test_the_exit_codes_are_documented(code: ExitCode) -> None:
    """The operators' table lists each code and whether the supervisor starts the worker again."""
    lines = OPERATING.read_text().splitlines()
    rows = [line.split("|")[1:-1] for line in lines if re.match(r"\| [67]\d", line)]
    (again,) = [row[2].strip() for row in rows if str(int(code)) in row[0].replace(",", " ").split()]
    assert (again == "no") == code.permanent


async def test_a_stopped_program_stays_down(supervisor: Supervisor) -> None:
    """It stays stopped, and stopping a stopped program changes nothing."""
    supervisor.start("sleeper")
    await eventually(state_is(supervisor, "sleeper", "RUNNING"))
    supervisor.stop("sleeper")
    supervisor.stop("refuser")
    await eventually(state_is(supervisor, "sleeper", "STOPPED"))


async def test_shutting_down_leaves_nothing(supervisor: Supervisor) -> None:
    """supervisord and every process that it started have ended."""
    supervisor.start("sleeper")
    await eventually(state_is(supervisor, "sleeper", "RUNNING"))
    supervisor.shut_down()
    await eventually(lambda: not processes.of_stack(supervisor.home.path))
    assert not supervisor.answers()
    with pytest.raises(LocalError, match=r"The call of supervisor\.getAllProcessInfo to supervisord failed"):
        supervisor.states()


async def test_no_program_secret_is_in_its_configuration(supervisor: Supervisor) -> None:
    """Secrets are in the programs file alone; both files have mode 600."""
    configuration = supervisor.home.supervisor_file
    assert "in-the-environment" not in configuration.read_text()
    for file in (configuration, supervisor.home.programs_file):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
