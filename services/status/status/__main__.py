"""`python -m status`: the service that reads."""

from chassis import logs, service
from chassis.service import Address
from chassis.settings import load
from darkroom_contracts.models import Catalogue
from status.app import open_status
from status.settings import Settings


async def serve(settings: Settings, catalogue: Catalogue) -> None:
    """Serve until told to stop, then drain."""
    address = Address(settings.status_host, settings.status_port)
    async with open_status(settings, catalogue) as status:
        await service.serve(status.app, address, status.health, status.loops)


def main() -> None:
    with service.refusing_bad_settings():
        settings = load(Settings)
        catalogue = settings.catalogue.load()
    logs.configure("status", settings.log)
    service.run(serve(settings, catalogue))


if __name__ == "__main__":
    main()
