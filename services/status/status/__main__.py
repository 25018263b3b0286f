"""`python -m status`: the service that reads."""

import sys

from chassis import logs, service
from chassis.service import Address
from chassis.settings import SettingsError, load
from contracts.models import Catalogue, CatalogueError, load_catalogue
from status.app import open_status
from status.settings import Settings


async def serve(settings: Settings, catalogue: Catalogue) -> None:
    """Serve until told to stop, then drain."""
    address = Address(settings.status_host, settings.status_port)
    async with open_status(settings, catalogue) as status:
        await service.serve(status.app, address, status.health, status.loops)


def main() -> None:
    try:
        settings = load(Settings)
        catalogue = load_catalogue(settings.catalogue.catalogue_path)
    except SettingsError as error:
        service.exit_for_settings(error)
    except CatalogueError as error:
        sys.exit(str(error))
    logs.configure("status", settings.log)
    service.run(serve(settings, catalogue))


if __name__ == "__main__":
    main()
