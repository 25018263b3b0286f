"""The settings of operations."""

from typing import Annotated

import msgspec
from msgspec import Meta

from chassis.settings import BrokerSettings, DatabaseSettings, LogSettings, Port, SettingsError, StorageSettings

Days = Annotated[float, Meta(ge=1, le=36500)]


class RetentionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How long things are kept, all counted in days but for the keys. docs/decisions/0028 says what goes when."""

    retain_jobs_days: Days = 90.0
    """Jobs, from their end. Afterwards their ids answer 410."""
    retain_pictures_days: Days = 30.0
    """Pictures, from their job's end."""
    retain_attempts_days: Days = 30.0
    """Attempts and worker sessions. Those of jobs with an open dead letter stay."""
    retain_letters_days: Days = 90.0
    """Dead letters, from their resolution. Open ones stay."""
    retain_deliveries_days: Days = 30.0
    """Webhook deliveries of which nothing more will be sent."""
    idempotency_hours: Annotated[float, Meta(ge=1, le=24 * 365)] = 24.0
    """How long an Idempotency-Key is remembered."""

    def check(self) -> None:
        """Raises SettingsError with a sentence for each two settings that contradict each other."""
        mistakes = [
            f"DARKROOM_RETAIN_{what.upper()}_DAYS: {what} can't be kept for longer ({days:g} days) than their jobs"
            f" ({self.retain_jobs_days:g}); lower it, or raise DARKROOM_RETAIN_JOBS_DAYS."
            for what, days in (
                ("pictures", self.retain_pictures_days),
                ("attempts", self.retain_attempts_days),
                ("deliveries", self.retain_deliveries_days),
            )
            if days > self.retain_jobs_days
        ]
        if self.idempotency_hours > self.retain_jobs_days * 24:
            mistakes.append(
                f"DARKROOM_RETAIN_JOBS_DAYS: jobs would go after {self.retain_jobs_days:g} days, before the keys that"
                f" stand for them ({self.idempotency_hours:g} hours); raise it, or lower DARKROOM_IDEMPOTENCY_HOURS."
            )
        if mistakes:
            raise SettingsError("\n".join(mistakes))


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    log: LogSettings
    broker: BrokerSettings
    database: DatabaseSettings
    storage: StorageSettings
    retention: RetentionSettings
    operations_host: str = "127.0.0.1"
    operations_port: Port = 8084
    """Where /healthz, /readyz and /metrics are served."""
    lease_seconds: Annotated[float, Meta(ge=1, le=600)] = 15.0
    """The workers' lease. After Postgres was away, as long passes before any job is taken from a worker."""
