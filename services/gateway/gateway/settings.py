"""What the gateway reads from its environment."""

from typing import Annotated

from msgspec import Meta

from chassis.settings import Address, BrokerSettings, CatalogueSettings, DatabaseSettings, Port, ServiceSettings


class GatewayDatabaseSettings(DatabaseSettings, frozen=True, kw_only=True):
    database_connections: Annotated[int, Meta(ge=6, le=100)] = 8
    """At the most: two for commits, one for the relay, one for API keys and one for the readiness check; cancels and
    all else share the rest. See connections.py."""


class Settings(ServiceSettings, frozen=True, kw_only=True):
    database: GatewayDatabaseSettings
    broker: BrokerSettings
    catalogue: CatalogueSettings
    gateway_host: str = "127.0.0.1"
    """Address to listen on."""
    gateway_port: Port = 8001
    max_queued_jobs: Annotated[int, Meta(ge=1)] = 100_000
    """Jobs of one model that may wait. Beyond it a submission is answered 429 `queue_full`."""
    max_queued_jobs_per_tenant: Annotated[int, Meta(ge=1)] = 20_000
    """Jobs of one tenant that may wait, over all models. Beyond it: 429 `quota_exceeded`."""

    @property
    def address(self) -> Address:
        return Address(self.gateway_host, self.gateway_port)
