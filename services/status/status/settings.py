"""The settings of the status service."""

from typing import Annotated

from msgspec import Meta

from chassis.settings import (
    Address,
    BrokerSettings,
    CatalogueSettings,
    DatabaseSettings,
    LinkSettings,
    Port,
    ServiceSettings,
    StorageSettings,
)


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """The settings of the status service."""

    database: DatabaseSettings
    broker: BrokerSettings
    storage: StorageSettings
    links: LinkSettings
    catalogue: CatalogueSettings
    status_host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    status_port: Annotated[Port, Meta(description="Port to listen on.")] = 8002
    url_lifetime_seconds: Annotated[
        int,
        Meta(
            ge=60,
            le=7 * 24 * 3600,
            description="Seconds that a presigned URL is valid."
            " Each response has URLs that are valid for at least half of them.",
        ),
    ] = 3600

    @property
    def address(self) -> Address:
        return Address(self.status_host, self.status_port)
