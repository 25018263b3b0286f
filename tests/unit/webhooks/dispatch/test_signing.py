"""The headers of an attempt."""

import time

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook

from darkroom_contracts.webhooks.signing import (
    ASYMMETRIC,
    PUBLIC_KEY_PREFIX,
    SYMMETRIC,
    decode_key,
    signatures,
    signed_content,
)
from tests.support.deliveries import delivery, endpoint
from webhooks.dispatch.signing import signed_headers
from webhooks.secrets import MasterKeys, UnknownMasterKeyError, UnreadableHeadersError

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


def test_each_secret_has_its_own_master_key() -> None:
    """A rotation derives the new secret from the primary key, and the old one stays as it was."""
    sent = delivery(endpoint=endpoint(rotation=1, master_key="second", previous_master_key="first"))
    headers = signed_headers(sent, KEYS)
    Webhook(KEYS.secret("second", sent.endpoint.id, 1)).verify(sent.body, headers)
    Webhook(KEYS.secret("first", sent.endpoint.id, 0)).verify(sent.body, headers)


def test_ed25519_on_request() -> None:
    """A v1a signature by each key beside the v1 ones, which the published key verifies."""
    sent = delivery(endpoint=endpoint(rotation=1, ed25519=True, previous_master_key="first"))
    headers = signed_headers(sent, KEYS)
    content = signed_content(headers["webhook-id"], int(headers["webhook-timestamp"]), sent.body)
    current, previous = signatures(headers["webhook-signature"], ASYMMETRIC)
    for rotation, value in ((1, current), (0, previous)):
        public = decode_key(KEYS.public_key("first", sent.endpoint.id, rotation), PUBLIC_KEY_PREFIX)
        Ed25519PublicKey.from_public_bytes(public).verify(value, content)
    assert len(list(signatures(headers["webhook-signature"], SYMMETRIC))) == 2


def test_static_headers_never_replace_the_service_s() -> None:
    """They are decrypted for the attempt alone."""
    target = endpoint()
    encrypted = KEYS.encrypt_headers(target.id, {"x-team": "red", "webhook-id": "forged", "content-type": "text/plain"})
    sent = delivery(endpoint=msgspec.structs.replace(target, headers=encrypted, headers_key="first"))
    headers = signed_headers(sent, KEYS)
    assert headers["x-team"] == "red"
    assert (headers["webhook-id"], headers["content-type"]) == (str(sent.id), "application/json")
    broken = delivery(endpoint=msgspec.structs.replace(target, headers=encrypted[:-1], headers_key="first"))
    with pytest.raises(UnreadableHeadersError):
        signed_headers(broken, KEYS)
