import pytest

from chassis.settings import SettingsError, load
from operations.settings import Settings

REQUIRED = {
    "DARKROOM_DATABASE_URL": "postgresql://u:p@h/d",
    "DARKROOM_AMQP_URL": "amqp://u:p@h/v",
    "DARKROOM_S3_ENDPOINT": "http://h",
    "DARKROOM_S3_ACCESS_KEY": "access",
    "DARKROOM_S3_SECRET_KEY": "secret",
}


def test_the_defaults_are_enough() -> None:
    """With the database, the broker and S3 everything else has a default, and it listens on loopback."""
    settings = load(Settings, REQUIRED)
    assert (settings.lease_seconds, settings.operations_host) == (15.0, "127.0.0.1")
    assert settings.retention.idempotency_hours == 24.0
    settings.retention.check()


def test_every_mistake_is_told_at_once() -> None:
    """Missing and wrong settings are all named, and no value is shown."""
    with pytest.raises(SettingsError) as refused:
        load(Settings, {"DARKROOM_AMQP_URL": "http://secret", "DARKROOM_LEASE_SECONDS": "0"})
    message = str(refused.value)
    for name in ("DARKROOM_DATABASE_URL", "DARKROOM_AMQP_URL", "DARKROOM_LEASE_SECONDS"):
        assert name in message
    assert "secret" not in message
