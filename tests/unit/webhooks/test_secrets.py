"""The secrets of endpoints."""

from uuid import uuid4

import pytest

from chassis.settings import SettingsError
from darkroom_contracts.webhooks.signing import decode_key
from webhooks.secrets import MasterKeys, UnknownMasterKeyError

FIRST, SECOND = f"first:{'a1' * 32}", f"second:{'b2' * 32}"


def test_a_secret_is_derived() -> None:
    """The same key, endpoint and rotation give the same 32 bytes, and nothing else does."""
    keys, endpoint_id = MasterKeys([FIRST, SECOND]), uuid4()
    secret = keys.secret("first", endpoint_id, 0)
    assert len(decode_key(secret)) == 32
    assert MasterKeys([SECOND, FIRST]).secret("first", endpoint_id, 0) == secret
    others = [
        keys.secret("second", endpoint_id, 0),
        keys.secret("first", uuid4(), 0),
        keys.secret("first", endpoint_id, 1),
    ]
    assert len({secret, *others}) == 4


def test_new_endpoints_use_the_first_key() -> None:
    """A master key is rotated by putting another before it."""
    assert MasterKeys([FIRST]).primary == "first"
    assert MasterKeys([SECOND, FIRST]).primary == "second"


def test_a_missing_key_is_named() -> None:
    """The message says which key to add again."""
    with pytest.raises(UnknownMasterKeyError, match="'third' is not in DARKROOM_WEBHOOKS_MASTER_KEYS"):
        MasterKeys([FIRST]).secret("third", uuid4(), 0)


@pytest.mark.parametrize("text", ["", "first", f":{'a1' * 32}", "first:a1", f"first:{'g' * 64}", f"first:{'a1' * 33}"])
def test_a_malformed_key_is_refused(text: str) -> None:
    """The message does not quote it."""
    with pytest.raises(SettingsError, match="DARKROOM_WEBHOOKS_MASTER_KEYS") as refused:
        MasterKeys([text])
    assert "a1" not in str(refused.value)
