import pytest

from chassis.settings import SettingsError, load
from operations.settings import Settings

REQUIRED = {"DARKROOM_DATABASE_URL": "postgresql://u:p@h/d", "DARKROOM_AMQP_URL": "amqp://u:p@h/v"}


def test_the_defaults_are_enough() -> None:
    """With the database and the broker everything else has a default, and it listens on loopback."""
    settings = load(Settings, REQUIRED)
    assert (settings.lease_seconds, settings.idempotency_hours, settings.operations_host) == (15.0, 24.0, "127.0.0.1")


def test_every_mistake_is_told_at_once() -> None:
    """Missing and wrong settings are all named, and no value is shown."""
    with pytest.raises(SettingsError) as refused:
        load(Settings, {"DARKROOM_AMQP_URL": "http://secret", "DARKROOM_LEASE_SECONDS": "0"})
    message = str(refused.value)
    for name in ("DARKROOM_DATABASE_URL", "DARKROOM_AMQP_URL", "DARKROOM_LEASE_SECONDS"):
        assert name in message
    assert "secret" not in message
