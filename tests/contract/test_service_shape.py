"""The shape that all services have in common: settings, an app to open, and one line that runs it."""

import ast
import inspect
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from chassis.settings import ServiceSettings, load
from darkroom_local.services import Service, read_services

SERVICES = read_services()
(WORKER,) = [service for service in SERVICES if service.package == "gpu_consumer"]
ENVIRONMENT = {
    "DARKROOM_DATABASE_URL": "postgresql://user:password@host/database",
    "DARKROOM_AMQP_URL": "amqp://user:password@host/vhost",
    "DARKROOM_S3_ENDPOINT": "http://host:1",
    "DARKROOM_S3_ACCESS_KEY": "access",
    "DARKROOM_S3_SECRET_KEY": "secret",
    "DARKROOM_S3_BUCKET": "bucket",
    "DARKROOM_WEBHOOKS_MASTER_KEYS": f"first:{'0' * 64}",
    "DARKROOM_MODEL": "tiny",
    "DARKROOM_DEVICE": "cpu",
}
each_service = pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)


def settings_of(service: Service, **more: str) -> ServiceSettings:
    settings_type = import_module(f"{service.package}.settings").Settings
    loaded = load(settings_type, ENVIRONMENT | more)
    assert isinstance(loaded, ServiceSettings)
    return loaded


@each_service
def test_a_service_has_an_app_to_open(service: Service) -> None:
    """`app.open_app` takes the settings and nothing else."""
    open_app = import_module(f"{service.package}.app").open_app
    (parameter,) = inspect.signature(open_app, eval_str=True).parameters.values()
    assert parameter.annotation is import_module(f"{service.package}.settings").Settings


@each_service
def test_the_port_is_the_one_of_the_settings(service: Service) -> None:
    """The setting that the file names decides where the service listens, and its default is the file's port."""
    assert settings_of(service).address.port == service.port
    assert settings_of(service, **{service.port_setting: "12345"}).address.port == 12345


@each_service
def test_main_is_one_line(service: Service) -> None:
    """`__main__` calls `chassis.service.main` with the service's name, settings and app, and does nothing else."""
    spec = find_spec(f"{service.package}.__main__")
    assert spec is not None
    assert spec.origin is not None
    docstring, *imports, call = map(ast.unparse, ast.parse(Path(spec.origin).read_text()).body)
    assert docstring.startswith(("'", '"'))
    assert sorted(imports) == [
        "from chassis.service import main",
        f"from {service.package}.app import open_app",
        f"from {service.package}.settings import Settings",
    ]
    assert call == f"main('{service.name}', Settings, open_app)"


def test_a_worker_has_time_to_warm_up_and_to_drain() -> None:
    """The file gives a worker more time to start and to stop than its own settings do."""
    settings: Any = settings_of(WORKER)
    assert WORKER.ready_seconds > settings.render_start_seconds
    assert WORKER.stop_seconds > settings.drain_seconds
