"""`python -m gateway`: the intake service."""

from chassis import logs, service
from chassis.service import Address
from chassis.settings import load
from darkroom_contracts.models import Catalogue
from gateway.app import open_gateway
from gateway.settings import Settings


async def serve(settings: Settings, catalogue: Catalogue) -> None:
    """Serve until told to stop, then drain."""
    address = Address(settings.gateway_host, settings.gateway_port)
    async with open_gateway(settings, catalogue) as gateway:
        await service.serve(gateway.app, address, gateway.health, gateway.loops)


def main() -> None:
    with service.refusing_bad_settings():
        settings = load(Settings)
        catalogue = settings.catalogue.load()
    logs.configure("gateway", settings.log)
    service.run(serve(settings, catalogue))


if __name__ == "__main__":
    main()
