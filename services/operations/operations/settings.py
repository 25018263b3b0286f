"""The settings of operations."""

from typing import Annotated

import msgspec
from msgspec import Meta

from chassis.settings import (
    Address,
    BrokerSettings,
    CatalogueSettings,
    DatabaseSettings,
    LinkSettings,
    Port,
    PublicOrigin,
    Seconds,
    ServiceSettings,
    SettingsError,
    StorageSettings,
    WebhookTargetSettings,
)


def _days(description: str) -> Meta:
    return Meta(ge=1, le=36500, description=description)


class OperationsDatabaseSettings(DatabaseSettings, frozen=True, kw_only=True):
    """PostgreSQL, with the connections that operations needs. See connections.py."""

    database_connections: Annotated[
        int,
        Meta(
            ge=6,
            le=100,
            description="Most connections of a process: three are for requests and one for the readiness check, the"
            " sweeps share the others.",
        ),
    ] = 10


class RetentionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How long rows and objects are kept (docs/decisions/0028).

    Jobs must be kept at least as long as their pictures, attempts, deliveries and Idempotency-Keys; otherwise the
    constructor raises SettingsError.
    """

    retain_jobs_days: Annotated[float, _days("Days that jobs are kept from their end. Then their ids answer 410.")] = (
        90.0
    )
    retain_pictures_days: Annotated[float, _days("Days that pictures are kept from the end of their job.")] = 30.0
    retain_attempts_days: Annotated[
        float,
        _days(
            "Days that attempts and worker sessions are kept, and alerts from their resolution. Attempts of jobs with"
            " an open dead letter stay."
        ),
    ] = 30.0
    retain_letters_days: Annotated[
        float,
        _days(
            "Days that dead letters are kept from their resolution, and bulk replays from their end. Open ones stay."
        ),
    ] = 90.0
    retain_deliveries_days: Annotated[
        float,
        _days(
            "Days that webhook deliveries are kept from their end, and endpoints from their deletion. Unfinished"
            " deliveries stay, and those with an open dead letter."
        ),
    ] = 30.0
    idempotency_hours: Annotated[
        float, Meta(ge=1, le=24 * 365, description="Hours that Idempotency-Keys are kept.")
    ] = 24.0

    def __post_init__(self) -> None:
        if mistakes := [*self._outliving_their_jobs(), *self._keys_outliving_jobs()]:
            raise SettingsError("\n".join(mistakes))

    def _outliving_their_jobs(self) -> list[str]:
        return [
            f"DARKROOM_RETAIN_{kind.upper()}_DAYS: {kind} can't be kept for longer ({days:g} days) than their jobs"
            f" ({self.retain_jobs_days:g}); lower it, or raise DARKROOM_RETAIN_JOBS_DAYS."
            for kind, days in (
                ("pictures", self.retain_pictures_days),
                ("attempts", self.retain_attempts_days),
                ("deliveries", self.retain_deliveries_days),
            )
            if days > self.retain_jobs_days
        ]

    def _keys_outliving_jobs(self) -> list[str]:
        if self.idempotency_hours <= self.retain_jobs_days * 24:
            return []
        return [
            f"DARKROOM_RETAIN_JOBS_DAYS: jobs would be removed after {self.retain_jobs_days:g} days, before the"
            f" Idempotency-Keys that refer to them ({self.idempotency_hours:g} hours); raise it, or lower"
            " DARKROOM_IDEMPOTENCY_HOURS."
        ]


class AlertSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When operators are alerted."""

    alert_stalled_seconds: Annotated[
        Seconds,
        Meta(
            description="Seconds that a model's oldest message waits while no worker takes one; then operators receive"
            " `queue.stalled`. Longer than workers need to start, where they are started on demand."
        ),
    ] = 300.0
    alert_stuck_seconds: Annotated[
        Seconds,
        Meta(description="Seconds that a message waits to be published; then operators receive `outbox.stuck`."),
    ] = 60.0


class ManagementSettings(msgspec.Struct, frozen=True, kw_only=True):
    """RabbitMQ's management API."""

    amqp_management_url: Annotated[
        PublicOrigin | None,
        Meta(
            description="Origin of RabbitMQ's management API with user and password, http://user:password@host:15672."
            " Where it is set, operators see unacknowledged messages, and those on their way to the dead-letter queue."
        ),
    ] = None


class Settings(ServiceSettings, frozen=True, kw_only=True):
    broker: BrokerSettings
    catalogue: CatalogueSettings
    database: OperationsDatabaseSettings
    storage: StorageSettings
    retention: RetentionSettings
    alerts: AlertSettings
    management: ManagementSettings
    links: LinkSettings
    targets: WebhookTargetSettings
    operations_host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    operations_port: Annotated[Port, Meta(description="Port of /healthz, /readyz and /metrics.")] = 8084
    lease_seconds: Annotated[
        float,
        Meta(
            ge=1,
            le=600,
            description="The workers' lease. After Postgres was away this time passes before a job is taken back from"
            " its worker.",
        ),
    ] = 15.0

    @property
    def address(self) -> Address:
        return Address(self.operations_host, self.operations_port)
