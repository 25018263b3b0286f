import pytest

from chassis.settings import Address, SettingsError, load
from operations.settings import Settings

REQUIRED = {
    "DARKROOM_DATABASE_URL": "postgresql://u:p@h/d",
    "DARKROOM_AMQP_URL": "amqp://u:p@h/v",
    "DARKROOM_S3_ENDPOINT": "http://h",
    "DARKROOM_S3_ACCESS_KEY": "access",
    "DARKROOM_S3_SECRET_KEY": "secret",
}


def test_the_defaults_are_enough() -> None:
    """Only the database, the broker and S3 have no default. The service listens on loopback."""
    settings = load(Settings, REQUIRED)
    assert (settings.lease_seconds, settings.operations_host) == (15.0, "127.0.0.1")
    assert settings.retention.idempotency_hours == 24.0
    assert settings.address == Address("127.0.0.1", 8084)


def test_every_mistake_is_told_at_once() -> None:
    """The error names all missing and wrong settings, and quotes no value."""
    with pytest.raises(SettingsError) as refused:
        load(Settings, {"DARKROOM_AMQP_URL": "http://secret", "DARKROOM_LEASE_SECONDS": "0"})
    message = str(refused.value)
    for name in ("DARKROOM_DATABASE_URL", "DARKROOM_AMQP_URL", "DARKROOM_LEASE_SECONDS"):
        assert name in message
    assert "secret" not in message


@pytest.mark.parametrize(
    ("name", "value", "mistake"),
    [
        ("DARKROOM_RETAIN_PICTURES_DAYS", "91", "pictures can't be kept for longer (91 days) than their jobs (90)"),
        ("DARKROOM_RETAIN_ATTEMPTS_DAYS", "91", "attempts can't be kept for longer (91 days) than their jobs (90)"),
        ("DARKROOM_RETAIN_DELIVERIES_DAYS", "91", "deliveries can't be kept for longer (91 days) than their jobs (90)"),
        ("DARKROOM_IDEMPOTENCY_HOURS", "2161", "before the Idempotency-Keys that refer to them (2161 hours)"),
    ],
)
def test_what_outlives_its_job_is_refused(name: str, value: str, mistake: str) -> None:
    """Jobs must be kept as long as what refers to them; equal ages are accepted."""
    with pytest.raises(SettingsError) as refused:
        load(Settings, REQUIRED | {name: value})
    assert mistake in str(refused.value)
    as_long = "2160" if name.endswith("HOURS") else "90"
    assert load(Settings, REQUIRED | {name: as_long}).retention.retain_jobs_days == 90
