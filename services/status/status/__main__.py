"""`python -m status`: wires the service and serves until SIGTERM."""

from datetime import timedelta

from chassis import logs
from chassis.amqp import Broker
from chassis.auth import Authenticator
from chassis.health import Health
from chassis.http import build_app
from chassis.postgres import Database
from chassis.service import Address, exit_for_settings, run, serve
from chassis.settings import SettingsError, load
from contracts.api import Service
from contracts.models import Catalogue, CatalogueError, load_catalogue

from status.endpoints import endpoints
from status.jobs import Jobs
from status.live import LiveProgress, ProgressListener
from status.models import list_models
from status.outlook import Queues
from status.reads import JobReads
from status.settings import Settings
from status.signing import SignedUrls
from status.store import Store


def main() -> None:
    try:
        settings = load(Settings)
        catalogue = load_catalogue(settings.catalogue.catalogue_path)
    except SettingsError as error:
        exit_for_settings(error)
    except CatalogueError as error:
        exit_for_settings(SettingsError(str(error)))
    logs.configure("status", settings.log)
    run(_serve(settings, catalogue))


async def _serve(settings: Settings, catalogue: Catalogue) -> None:
    broker = Broker(settings.broker.amqp_url, "darkroom-status")
    async with Database(settings.database, "status") as database:
        store = Store(database)
        live = LiveProgress()
        urls = SignedUrls(
            settings.storage, settings.s3_public_endpoint, timedelta(seconds=settings.url_lifetime_seconds)
        )
        jobs = Jobs(JobReads(store), Queues(store), live, urls)
        health = Health({"database": database.check})
        app = build_app(Service.STATUS, endpoints(jobs, list_models(catalogue)), Authenticator(database), health)
        try:
            await serve(
                app,
                Address(settings.status_host, settings.status_port),
                health,
                [ProgressListener(broker, live)],
            )
        finally:
            await broker.close()


if __name__ == "__main__":
    main()
