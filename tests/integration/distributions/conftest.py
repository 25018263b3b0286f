from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from darkroom_local.home import REPOSITORY
from tests.support.endpoints import Bucket
from tests.support.processes import ServiceProcess
from tests.support.wheels import Environment, Wheelhouse, write_project

FOLDERS = ("chassis", "gateway", "gpu-consumer", "operations", "status")
SERVICES = ("gateway", "operations", "status")


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    """Return a folder with Darkroom's wheels, their dependencies, and a foreign distribution `contracts`."""
    foreign = write_project(tmp_path_factory.mktemp("foreign"), "contracts")
    own = (REPOSITORY / folder for folder in ("contracts", "client", *(f"services/{name}" for name in FOLDERS)))
    return Wheelhouse(tmp_path_factory.mktemp("wheels"), [*own, foreign])


@pytest.fixture(scope="module")
def installed_services(tmp_path_factory: pytest.TempPathFactory, wheelhouse: Wheelhouse) -> Environment:
    """Return an environment of the services that need no GPU, without extras, beside the foreign `contracts`."""
    requirements = (f"darkroom-{service}" for service in SERVICES)
    return Environment(tmp_path_factory.mktemp("services"), wheelhouse, "contracts", *requirements)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, wheelhouse: Wheelhouse) -> Environment:
    """Return an operator's environment, with all commands of operations, beside the foreign `contracts`."""
    return Environment(tmp_path_factory.mktemp("desk"), wheelhouse, "contracts", "darkroom-operations[cli]")


@pytest.fixture
def settings(empty_database: str, vhost: str, bucket: Bucket) -> dict[str, str]:
    return {
        "DARKROOM_DATABASE_URL": empty_database,
        "DARKROOM_AMQP_URL": vhost,
        "DARKROOM_MODELS_FILE": str(REPOSITORY / "deploy" / "models.toml"),
        **bucket.environment(),
    }


@pytest.fixture
async def running(
    installed_services: Environment, desk: Environment, settings: dict[str, str], tmp_path: Path
) -> AsyncIterator[dict[str, ServiceProcess]]:
    """Every service as a process on a database that the migrations in the wheel have made, and ready."""
    migrated = desk.run("darkroom", "migrate", **settings)
    assert migrated.returncode == 0, migrated.stderr
    processes = {
        service: ServiceProcess(
            service,
            settings,
            tmp_path / f"{service}.log",
            command=(str(installed_services.python), "-I", "-m", service),
        )
        for service in SERVICES
    }
    try:
        for process in processes.values():
            await process.ready()
        yield processes
    finally:
        for process in processes.values():
            process.kill()
