"""`python -m gateway`: the intake service."""

import sys

from chassis import logs, service
from chassis.service import Address
from chassis.settings import SettingsError, load
from contracts.models import Catalogue, CatalogueError, load_catalogue
from gateway.app import open_gateway
from gateway.settings import Settings


async def serve(settings: Settings, catalogue: Catalogue) -> None:
    """Serve until told to stop, then drain."""
    address = Address(settings.gateway_host, settings.gateway_port)
    async with open_gateway(settings, catalogue) as gateway:
        await service.serve(gateway.app, address, gateway.health, gateway.loops)


def main() -> None:
    try:
        settings = load(Settings)
        catalogue = load_catalogue(settings.catalogue.catalogue_path)
    except SettingsError as error:
        service.exit_for_settings(error)
    except CatalogueError as error:
        sys.exit(str(error))
    logs.configure("gateway", settings.log)
    service.run(serve(settings, catalogue))


if __name__ == "__main__":
    main()
