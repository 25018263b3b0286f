"""Signatures of webhooks, beside the specification's test vector and an implementation by its authors."""

import base64
from datetime import UTC, datetime
from time import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from darkroom_contracts.webhooks.signing import (
    ASYMMETRIC,
    ID_HEADER,
    PRIVATE_KEY_PREFIX,
    PUBLIC_KEY_PREFIX,
    SECRET_BYTES,
    SECRET_PREFIX,
    SIGNATURE_HEADER,
    SYMMETRIC,
    TIMESTAMP_HEADER,
    TOLERANCE_SECONDS,
    decode_key,
    encode_key,
    is_recent,
    sign,
    signature,
    signature_header,
    signatures,
    signed_content,
    verify,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
"""The test vector of Standard Webhooks."""

unhurried = settings(deadline=None)
"""A busy machine pauses a test at any moment."""
keys = st.binary(min_size=24, max_size=64)
ids = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=40)
# The other implementation reads bodies as text.
bodies = st.text(st.characters(exclude_categories=["Cs"])).map(str.encode)


def test_the_vector_of_the_specification() -> None:
    """The test vector's signature is what is signed and what is verified."""
    assert sign(SECRET, ID, TIMESTAMP, BODY) == SIGNATURE
    assert verify(SECRET, ID, TIMESTAMP, BODY, SIGNATURE)


def test_the_headers_are_those_of_the_specification() -> None:
    """The names and prefixes are pinned: receivers rely on them."""
    assert (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER) == (
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    )
    assert (SYMMETRIC, ASYMMETRIC) == ("v1", "v1a")
    assert (SECRET_PREFIX, PRIVATE_KEY_PREFIX, PUBLIC_KEY_PREFIX) == ("whsec_", "whsk_", "whpk_")
    assert 24 <= SECRET_BYTES <= 64


@unhurried
@given(keys, ids, bodies)
def test_the_authors_library_verifies_what_is_signed(key: bytes, delivery_id: str, body: bytes) -> None:
    """Any body, id and secret; also among two signatures, whichever of the two secrets the receiver holds."""
    now, secret, other = int(time()), encode_key(key), encode_key(key[::-1] + b"another")
    for order in ([secret], [secret, other], [other, secret]):
        headers = {
            ID_HEADER: delivery_id,
            TIMESTAMP_HEADER: str(now),
            SIGNATURE_HEADER: signature_header(order, delivery_id, now, body),
        }
        Webhook(secret).verify(body, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + b" ", headers, json_parse=False)


@unhurried
@given(keys, ids, st.integers(0, 2**33), bodies)
def test_what_the_authors_library_signs_is_verified(key: bytes, delivery_id: str, timestamp: int, body: bytes) -> None:
    """Any body, id, time and secret; and nothing of it can be changed."""
    secret = encode_key(key)
    header = Webhook(secret).sign(delivery_id, datetime.fromtimestamp(timestamp, UTC), body.decode())
    assert verify(secret, delivery_id, timestamp, body, header)
    assert not verify(secret, delivery_id + "x", timestamp, body, header)
    assert not verify(secret, delivery_id, timestamp + 1, body, header)
    assert not verify(secret, delivery_id, timestamp, body + b" ", header)
    assert not verify(encode_key(key + b"x"), delivery_id, timestamp, body, header)


@unhurried
@given(st.binary())
def test_bodies_are_bytes(body: bytes) -> None:
    """A body that is not text is signed as it is."""
    assert verify(SECRET, ID, TIMESTAMP, body, sign(SECRET, ID, TIMESTAMP, body))
    assert signed_content(ID, TIMESTAMP, body).endswith(body)


def test_one_matching_signature_is_enough() -> None:
    """While a secret is rotated, a receiver with either secret verifies; a receiver with a third one does not."""
    previous, third = encode_key(b"p" * 32), encode_key(b"t" * 32)
    header = signature_header([SECRET, previous], ID, TIMESTAMP, BODY)
    assert header.split()[0] == SIGNATURE
    assert len(header.split()) == 2
    assert verify(SECRET, ID, TIMESTAMP, BODY, header)
    assert verify(previous, ID, TIMESTAMP, BODY, header)
    assert not verify(third, ID, TIMESTAMP, BODY, header)


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        "v1",
        "v1,",
        ",",
        SIGNATURE.removeprefix("v1,"),
        SIGNATURE.replace("v1,", "v1a,"),
        SIGNATURE.replace("v1,", "v2,"),
        SIGNATURE[:-5],
        SIGNATURE.replace("=", "!"),
        SIGNATURE + ",v1",
        "v1,\N{FULLWIDTH DIGIT ONE}",
        "v1,\udcff",
    ],
)
def test_malformed_signatures_do_not_match(header: str) -> None:
    """A malformed signature, or one of another version, never matches, and does not hide one that does."""
    assert not verify(SECRET, ID, TIMESTAMP, BODY, header)
    assert verify(SECRET, ID, TIMESTAMP, BODY, f"{header} {SIGNATURE}")


def test_an_id_that_is_not_text_does_not_match() -> None:
    """Bytes that are not text reach Python as lone surrogates; nothing raises."""
    assert not verify(SECRET, f"{ID}\udcff", TIMESTAMP, BODY, SIGNATURE)


def test_signatures_of_one_version_are_found_among_others() -> None:
    """Each version has its own signatures in one header."""
    header = f"{SIGNATURE} {signature(ASYMMETRIC, b'a' * 64)} {signature(ASYMMETRIC, b'b' * 64)}"
    assert list(signatures(header, ASYMMETRIC)) == [b"a" * 64, b"b" * 64]
    assert [signature(SYMMETRIC, value) for value in signatures(header, SYMMETRIC)] == [SIGNATURE]


@unhurried
@given(st.binary(min_size=1, max_size=64))
def test_keys_are_read_as_they_are_written(key: bytes) -> None:
    """Encoding and decoding are inverse, with each prefix."""
    for prefix in (SECRET_PREFIX, PRIVATE_KEY_PREFIX, PUBLIC_KEY_PREFIX):
        text = encode_key(key, prefix)
        assert text == prefix + base64.b64encode(key).decode()
        assert decode_key(text, prefix) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        SECRET.removeprefix("whsec_"),
        SECRET.replace("whsec_", "whsk_"),
        SECRET[:-1],
        SECRET + "\n",
        "whsec_é",
    ],
)
def test_malformed_secrets_are_refused(text: str) -> None:
    """A secret without its prefix, without bytes or with other characters raises ValueError and is not repeated."""
    with pytest.raises(ValueError) as error:
        sign(text, ID, TIMESTAMP, BODY)
    assert SECRET.removeprefix("whsec_") not in str(error.value)


@pytest.mark.parametrize("seconds", [-TOLERANCE_SECONDS, 0, TOLERANCE_SECONDS])
def test_the_tolerance_is_five_minutes_either_way(seconds: int) -> None:
    """A timestamp at the limit is recent, one beyond it is not."""
    assert is_recent(TIMESTAMP + seconds, TIMESTAMP)
    assert not is_recent(TIMESTAMP + 301, TIMESTAMP)
    assert not is_recent(TIMESTAMP - 301, TIMESTAMP)
    assert is_recent(TIMESTAMP - 301, TIMESTAMP, tolerance_seconds=400)
