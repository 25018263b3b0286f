"""Adding a service takes an entry in services.toml and a folder, and nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from darkroom_local import processes, stack
from darkroom_local.blueprint import Blueprint
from darkroom_local.home import Home
from darkroom_local.parts import rabbitmq
from darkroom_local.probes import http_status
from darkroom_local.program import Program
from darkroom_local.services import SERVICES_FILE, read_services
from darkroom_local.state import State
from darkroom_local.status import ProgramStatus, look
from tests.support.waiting import eventually

ENTRY = """
[[services]]
name = "a-dummy"
package = "a_dummy"
port_setting = "DARKROOM_DUMMY_PORT"
port = 8999
ready_path = "/readyz"
ready_seconds = 60
metrics_path = "/metrics"
stop_seconds = 30
permanent_exit_codes = [64]
edge = false
"""
FOLDER = {
    "__init__.py": "",
    "settings.py": """
from chassis.settings import Address, ServiceSettings


class Settings(ServiceSettings, frozen=True, kw_only=True):
    dummy_port: int = 8999

    @property
    def address(self):
        return Address("127.0.0.1", self.dummy_port)
""",
    "app.py": """
from contextlib import asynccontextmanager

from chassis.health import Health
from chassis.http import build_health_app
from chassis.service import App


@asynccontextmanager
async def open_app(settings):
    health = Health({})
    yield App(build_health_app(health), health)
    print("the dummy is closed", flush=True)
""",
    "__main__.py": """
from a_dummy.app import open_app
from a_dummy.settings import Settings
from chassis.service import main

main("a-dummy", Settings, open_app)
""",
}

pytestmark = pytest.mark.skipif(not rabbitmq.is_installed(), reason="a stack without Docker needs RabbitMQ's programs")


@dataclass(frozen=True)
class Added:
    """A stack whose supervisor runs, and the program of the service that was added to it."""

    blueprint: Blueprint
    program: Program

    @property
    def status(self) -> ProgramStatus:
        """What `make status` shows of the service."""
        shown = look(str(self.blueprint.home.path), self.blueprint).programs
        (found,) = [program for program in shown if program.name == self.program.name]
        return found

    @property
    def log(self) -> str:
        return (self.blueprint.home.logs / f"{self.program.name}.log").read_text()


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Added]:
    """Start the supervisor of a stack with Darkroom's own services and one more, all of them stopped."""
    file = tmp_path / "services.toml"
    file.write_text(SERVICES_FILE.read_text() + ENTRY)
    package = tmp_path / "services" / "a_dummy"
    package.mkdir(parents=True)
    for name, text in FOLDER.items():
        (package / name).write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    home, state, services = Home(tmp_path / "home"), State(), read_services(file)
    home.create()
    state.complete(services)
    blueprint = Blueprint.draw(home, state, services)
    stack.supervise(blueprint)
    (program,) = [program for program in blueprint.programs if program.name == "a-dummy"]
    yield Added(blueprint, program)
    processes.stop(processes.of_stack(home.path), seconds=10)


async def test_an_added_service_runs_beside_the_others(added: Added) -> None:
    """It starts on a port of its own, answers on all three paths, is shown by `make status`, and stops cleanly."""
    stack.start(added.blueprint, [added.program])
    port = int(added.blueprint.settings["DARKROOM_DUMMY_PORT"])
    assert [http_status(port, path) for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 200]
    await eventually(lambda: added.status.state == "RUNNING", what="supervisord counts the start as a success")
    assert added.status.ready
    stack.stop(added.blueprint, [added.program])
    assert (added.status.state, added.status.ready) == ("STOPPED", False)
    assert "the dummy is closed\n" in added.log
