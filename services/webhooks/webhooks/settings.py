"""The settings of webhooks."""

from datetime import timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from chassis.settings import (
    Address,
    DatabaseSettings,
    LinkSettings,
    Port,
    ServiceSettings,
    WebhookTargetSettings,
)
from webhooks.egress import Proxy, choose_proxy
from webhooks.secrets import MasterKeys


class WebhooksDatabaseSettings(DatabaseSettings, frozen=True, kw_only=True):
    """PostgreSQL, with the connections that webhooks needs. See connections.py."""

    database_connections: Annotated[
        int,
        Meta(
            ge=5,
            le=100,
            description="Most connections of a process: two are for requests and one for the readiness check, the"
            " others send.",
        ),
    ] = 8


class DispatchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How many deliveries a process has in flight."""

    webhooks_in_flight: Annotated[
        int, Meta(ge=1, le=2000, description="Most webhook deliveries that a process sends at once.")
    ] = 256
    webhooks_in_flight_per_tenant: Annotated[
        int, Meta(ge=1, le=2000, description="Most of them that are one tenant's.")
    ] = 48
    webhooks_in_flight_per_origin: Annotated[
        int, Meta(ge=1, le=64, description="Most of them that go to one scheme, host and port.")
    ] = 32
    webhooks_lease_seconds: Annotated[
        float,
        Meta(
            ge=1,
            le=600,
            description="Seconds until a delivery is taken back from a process that did not record its attempt. Above"
            " the 15 that a receiver may take, or deliveries are repeated needlessly.",
        ),
    ] = 60.0

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.webhooks_lease_seconds)


class RateSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How often a tenant may do what no job causes. See registry/allowances.py."""

    webhooks_creations_per_hour: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Webhook endpoints that a tenant may create at once; more become possible evenly over an hour."
            " Beyond that 429 `rate_limited`.",
        ),
    ] = 100
    webhooks_tests_per_hour: Annotated[
        int, Meta(ge=1, le=100_000, description="Test events that a tenant may send, counted in the same way.")
    ] = 60
    webhooks_redeliveries_per_hour: Annotated[
        int,
        Meta(ge=1, le=100_000, description="Single deliveries that a tenant may send again, counted in the same way."),
    ] = 1_000
    webhooks_recoveries_per_hour: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Requests of a tenant to recover an endpoint, counted in the same way. Each makes 10,000"
            " deliveries due at the most.",
        ),
    ] = 100


class EgressSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The proxy that webhooks are sent through. A proxy without the statement raises SettingsError, and the reverse."""

    webhooks_egress_proxy: Annotated[
        str | None,
        Meta(
            description="HTTP proxy that webhooks are sent through by CONNECT, as http://host:port or"
            " http://user:password@host:port. It resolves the names of receivers, so it must refuse the addresses that"
            " are not public itself. Proxies in the environment (HTTPS_PROXY) are never used.",
        ),
    ] = None
    webhooks_egress_proxy_checks_addresses: Annotated[
        bool,
        Meta(
            description="States that this proxy refuses private, loopback, link-local and metadata addresses. Without"
            " that the service does not start behind a proxy.",
        ),
    ] = False

    def __post_init__(self) -> None:
        _ = self.proxy

    @property
    def proxy(self) -> Proxy | None:
        """The proxy, if there is one."""
        return choose_proxy(self.webhooks_egress_proxy, checks_addresses=self.webhooks_egress_proxy_checks_addresses)


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """The settings of webhooks."""

    database: WebhooksDatabaseSettings
    links: LinkSettings
    targets: WebhookTargetSettings
    dispatch: DispatchSettings
    rates: RateSettings
    egress: EgressSettings
    webhooks_master_keys: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
            description="Keys that derive the secrets of endpoints and encrypt their headers, each as an id, a colon"
            " and 32 random bytes in hexadecimal. The first one is for what is new; keep the others as long as an"
            " endpoint uses them.",
        ),
    ]
    webhooks_host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    webhooks_port: Annotated[Port, Meta(description="Port to listen on.")] = 8003

    def __post_init__(self) -> None:
        MasterKeys(self.webhooks_master_keys)

    @property
    def address(self) -> Address:
        return Address(self.webhooks_host, self.webhooks_port)
