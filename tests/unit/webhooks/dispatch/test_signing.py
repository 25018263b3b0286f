"""The headers of an attempt."""

import time

import pytest
from standardwebhooks import Webhook

from tests.support.deliveries import delivery, endpoint
from webhooks.dispatch.signing import signed_headers
from webhooks.secrets import MasterKeys, UnknownMasterKeyError

KEYS = MasterKeys([f"first:{'a1' * 32}", f"second:{'b2' * 32}"])


def test_the_library_of_the_specification_accepts_them() -> None:
    """A receiver verifies id, time and body with the endpoint's secret."""
    sent = delivery(body=b'{"type": "job.failed"}')
    headers = signed_headers(sent, KEYS)
    secret = KEYS.secret("first", sent.endpoint.id, 0)
    assert Webhook(secret).verify(sent.body, headers) == {"type": "job.failed"}
    assert headers["webhook-id"] == str(sent.id)
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 5
    assert headers["content-type"] == "application/json"


def test_both_secrets_sign_while_one_replaces_the_other() -> None:
    """A receiver may know either."""
    sent = delivery(endpoint=endpoint(rotation=3, previous_master_key="first"))
    headers = signed_headers(sent, KEYS)
    for rotation in (3, 2):
        Webhook(KEYS.secret("first", sent.endpoint.id, rotation)).verify(sent.body, headers)
    alone = signed_headers(delivery(endpoint=endpoint(rotation=3)), KEYS)
    assert len(alone["webhook-signature"].split()) == 1


def test_an_endpoint_keeps_its_master_key() -> None:
    """One that has none yet gets the first."""
    fresh, old = delivery(endpoint=endpoint(master_key=None)), delivery(endpoint=endpoint(master_key="second"))
    Webhook(KEYS.secret("first", fresh.endpoint.id, 0)).verify(fresh.body, signed_headers(fresh, KEYS))
    Webhook(KEYS.secret("second", old.endpoint.id, 0)).verify(old.body, signed_headers(old, KEYS))
    with pytest.raises(UnknownMasterKeyError):
        signed_headers(delivery(endpoint=endpoint(master_key="third")), KEYS)
