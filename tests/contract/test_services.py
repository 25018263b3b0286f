"""deploy/services.toml agrees with the folders, the import rules and the exit codes of the services."""

import tomllib
from pathlib import Path

import pytest

from chassis.service import BAD_SETTINGS_EXIT_CODE
from darkroom_local.services import Service, read_services
from gpu_consumer.startup import ExitCode

ROOT = Path(__file__).parents[2]
SERVICES = read_services()
each_service = pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)


def test_every_folder_of_a_service_is_named() -> None:
    """The file names exactly the folders below services/, the chassis apart, and the package in each."""
    folders = {path.parent for path in (ROOT / "services").glob("*/pyproject.toml")}
    assert folders - {ROOT / "services" / "chassis"} == {ROOT / "services" / service.name for service in SERVICES}
    for service in SERVICES:
        assert (ROOT / "services" / service.name / service.package / "py.typed").exists()


@each_service
def test_a_service_holds_its_own_import_rules(service: Service) -> None:
    """Its pyproject.toml has contracts of import-linter for its package; `make lint` checks those of every folder."""
    file = ROOT / "services" / service.name / "pyproject.toml"
    rules = tomllib.loads(file.read_text())["tool"]["importlinter"]
    assert service.package in rules["root_packages"]
    assert rules["contracts"]


@each_service
def test_restarts_end_where_they_cant_help(service: Service) -> None:
    """The exit codes are the worker's permanent ones for the worker, and that of bad settings for all others."""
    is_worker = service.package == "gpu_consumer"
    permanent = {int(code) for code in ExitCode if code.permanent} if is_worker else {BAD_SETTINGS_EXIT_CODE}
    assert set(service.permanent_exit_codes) == permanent
