"""The settings of the gateway."""

from typing import Annotated

from msgspec import Meta

from chassis.settings import (
    Address,
    BrokerSettings,
    CatalogueSettings,
    DatabaseSettings,
    Port,
    ServiceSettings,
    WebhookTargetSettings,
)


class GatewayDatabaseSettings(DatabaseSettings, frozen=True, kw_only=True):
    """PostgreSQL, with the connections that the gateway needs. See connections.py."""

    database_connections: Annotated[
        int,
        Meta(
            ge=6,
            le=100,
            description="Most connections of a process: two commit, the relay, API keys and the readiness check have"
            " one each, and cancels and everything else share the others. Raise it if those are refused.",
        ),
    ] = 8


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """The settings of the gateway."""

    database: GatewayDatabaseSettings
    broker: BrokerSettings
    catalogue: CatalogueSettings
    webhook_targets: WebhookTargetSettings
    gateway_host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    gateway_port: Annotated[Port, Meta(description="Port to listen on.")] = 8001
    max_queued_jobs: Annotated[
        int,
        Meta(
            ge=1,
            description="Most jobs of a model that may wait; more are refused with 429 `queue_full`. While the queue"
            " cannot be sampled, counts older than a minute are discarded.",
        ),
    ] = 100_000
    max_queued_jobs_per_tenant: Annotated[
        int,
        Meta(
            ge=1,
            description="Most jobs of a tenant that may wait, of all models together; more are refused with 429"
            " `quota_exceeded`.",
        ),
    ] = 20_000

    @property
    def address(self) -> Address:
        return Address(self.gateway_host, self.gateway_port)
