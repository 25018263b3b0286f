"""What the status service reads from its environment."""

from typing import Annotated

from msgspec import Meta

from chassis.settings import (
    Address,
    BrokerSettings,
    CatalogueSettings,
    DatabaseSettings,
    Port,
    ServiceSettings,
    StorageSettings,
)


class Settings(ServiceSettings, frozen=True, kw_only=True):
    database: DatabaseSettings
    broker: BrokerSettings
    storage: StorageSettings
    catalogue: CatalogueSettings
    status_host: str = "127.0.0.1"
    """Address to listen on."""
    status_port: Port = 8002
    s3_public_endpoint: Annotated[str, Meta(pattern="^https?://")]
    """Origin that the pictures' presigned URLs carry: the edge's, as clients reach it."""
    url_lifetime_seconds: Annotated[int, Meta(ge=60, le=7 * 24 * 3600)] = 3600
    """How long a presigned URL works at the most; at the least it works for half as long when it is answered."""

    @property
    def address(self) -> Address:
        return Address(self.status_host, self.status_port)
