"""Every service of services.toml, running."""

import pytest

from darkroom_local.probes import http_status
from darkroom_local.services import Service, read_services
from tests.support.processes import ServiceProcess
from tests.support.stack import WORKER, Stack


@pytest.mark.parametrize("service", read_services(), ids=lambda service: service.name)
def test_a_service_serves_its_health(service: Service, stack: Stack, workers: dict[str, ServiceProcess]) -> None:
    """It answers /healthz, and the paths of readiness and metrics that the file names, on its own port."""
    process = next(iter(workers.values())) if service.package == WORKER else stack.core[service.package]
    for path in ("/healthz", service.ready_path, service.metrics_path):
        assert http_status(process.port, path) == 200, path
