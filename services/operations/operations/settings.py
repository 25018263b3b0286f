"""The settings of operations."""

from typing import Annotated

import msgspec
from msgspec import Meta

from chassis.settings import BrokerSettings, DatabaseSettings, LogSettings, Port


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    log: LogSettings
    broker: BrokerSettings
    database: DatabaseSettings
    operations_host: str = "127.0.0.1"
    operations_port: Port = 8084
    """Where /healthz, /readyz and /metrics are served."""
    lease_seconds: Annotated[float, Meta(ge=1, le=600)] = 15.0
    """The workers' lease. After Postgres was away, as long passes before any job is taken from a worker."""
    idempotency_hours: Annotated[float, Meta(ge=1, le=24 * 365)] = 24.0
    """How long an Idempotency-Key is remembered."""
