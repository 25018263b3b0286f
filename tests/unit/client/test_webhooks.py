import sys
from datetime import timedelta
from email.message import Message

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import darkroom
from darkroom import DarkroomError, webhooks
from darkroom_contracts.api import encode
from darkroom_contracts.webhooks.signing import (
    ASYMMETRIC,
    ID_HEADER,
    PUBLIC_KEY_PREFIX,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    encode_key,
    signature,
    signed_content,
)
from tests.support.webhooks import AT, BODY, DELIVERY_ID, OTHER_SECRET, SECRET, SUCCEEDED, signed

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC_KEY = encode_key(KEY.public_key().public_bytes_raw(), PUBLIC_KEY_PREFIX)


def signed_by_key(body: bytes = BODY) -> dict[str, str]:
    """Return the headers of an attempt with a `v1` and a `v1a` signature."""
    headers = signed(body)
    content = signed_content(headers[ID_HEADER], int(headers[TIMESTAMP_HEADER]), body)
    headers[SIGNATURE_HEADER] += " " + signature(ASYMMETRIC, KEY.sign(content))
    return headers


def test_a_signed_event_is_returned_with_its_types() -> None:
    """A verified delivery becomes an event with its id and the job as a typed value."""
    event = webhooks.unwrap(signed(), BODY, SECRET)
    assert isinstance(event, webhooks.JobEvent)
    assert (event.id, event.type, event.timestamp) == (DELIVERY_ID, SUCCEEDED.type, SUCCEEDED.timestamp)
    assert (event.data, event.truncated) == (SUCCEEDED.data, ())
    assert darkroom.webhooks is webhooks


def test_an_event_of_another_type_is_returned_with_its_data() -> None:
    """A type that a later version adds does not break a receiver."""
    body = encode({"type": "endpoint.failing", "timestamp": AT, "data": {"endpoint": "e"}})
    assert webhooks.unwrap(signed(body), body, SECRET) == webhooks.Event(
        id=DELIVERY_ID, type="endpoint.failing", timestamp=AT, data={"endpoint": "e"}
    )


def test_header_names_are_compared_without_their_case() -> None:
    """Frameworks write names differently, and their headers are not dictionaries."""
    message = Message()
    for name, value in signed().items():
        message[name.title()] = value
    assert webhooks.unwrap(message, BODY, SECRET).id == DELIVERY_ID


def test_a_body_can_be_text() -> None:
    """Some platforms have no bytes of it; text that does not come from UTF-8 has no valid signature."""
    body = encode({"type": "x", "timestamp": AT, "data": {"prompt": "\N{SNOWMAN}"}})
    assert webhooks.unwrap(signed(body), body.decode(), SECRET) == webhooks.unwrap(signed(body), body, SECRET)
    with pytest.raises(webhooks.SignatureError):
        webhooks.unwrap(signed(body), body.decode("ascii", "surrogateescape"), SECRET)


@pytest.mark.parametrize("secrets", [(SECRET, OTHER_SECRET), (OTHER_SECRET, SECRET)])
def test_a_receiver_needs_one_secret_while_it_is_rotated(secrets: tuple[str, ...]) -> None:
    """Both secrets sign during a rotation, and a receiver with either of them verifies."""
    for secret in secrets:
        assert webhooks.unwrap(signed(BODY, *secrets), BODY, secret).id == DELIVERY_ID


@pytest.mark.parametrize("name", [ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER])
def test_a_missing_header_is_named(name: str) -> None:
    """Each of the three headers is needed, and an empty one counts as missing."""
    without = {other: value for other, value in signed().items() if other != name}
    for headers in (without, {**without, name: ""}):
        with pytest.raises(webhooks.MissingHeaderError, match=name):
            webhooks.unwrap(headers, BODY, SECRET)


@pytest.mark.parametrize("text", ["now", "1.5", "-5", "1e9", " 5", "1234567890123", "\N{ARABIC-INDIC DIGIT ONE}"])
def test_a_timestamp_is_whole_seconds(text: str) -> None:
    """Anything else than digits is refused, however Python would read it."""
    with pytest.raises(webhooks.MissingHeaderError, match=TIMESTAMP_HEADER):
        webhooks.unwrap({**signed(), TIMESTAMP_HEADER: text}, BODY, SECRET)


@pytest.mark.parametrize(("seconds_ago", "age"), [(310, r"31\d s ago"), (-310, r"3[01]\d s in the future")])
def test_an_attempt_that_is_too_old_or_too_new_is_refused(seconds_ago: float, age: str) -> None:
    """A recorded request can't be sent again later; the tolerance can be widened."""
    headers = signed(seconds_ago=seconds_ago)
    with pytest.raises(webhooks.TimestampError, match=age):
        webhooks.unwrap(headers, BODY, SECRET)
    assert webhooks.unwrap(headers, BODY, SECRET, tolerance=timedelta(minutes=6)).id == DELIVERY_ID


def test_nothing_that_is_signed_can_be_changed() -> None:
    """Id, time, body and secret are all covered by the signature."""
    headers = signed()
    later = str(int(headers[TIMESTAMP_HEADER]) + 60)
    changes = ({ID_HEADER: "another"}, {TIMESTAMP_HEADER: later}, {SIGNATURE_HEADER: "v1,AAAA"})
    for changed in (*({**headers, **change} for change in changes), signed(BODY, OTHER_SECRET)):
        with pytest.raises(webhooks.SignatureError):
            webhooks.unwrap(changed, BODY, SECRET)
    with pytest.raises(webhooks.SignatureError):
        webhooks.unwrap(headers, BODY.replace(b"red", b"tan"), SECRET)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"\xff", b'{"type":"job.succeeded"}', b'{"type":"x","data":' + b"[" * 100_000]
)
def test_a_signed_body_that_is_not_an_event_is_an_error_of_its_own(body: bytes) -> None:
    """A receiver that is too old for an event can tell that from a forged request."""
    with pytest.raises(webhooks.UndecodableEventError):
        webhooks.unwrap(signed(body), body, SECRET)


def test_all_errors_are_one_tree() -> None:
    """A receiver catches WebhookError, or the DarkroomError of the whole client."""
    tree = {webhooks.MissingHeaderError, webhooks.TimestampError, webhooks.SignatureError}
    assert set(webhooks.WebhookError.__subclasses__()) == {*tree, webhooks.UndecodableEventError}
    assert issubclass(webhooks.WebhookError, DarkroomError)


@pytest.mark.parametrize("secret", ["", "secret", "whsec_", "whsec_!", "whpk_AAAA", "whsk_" + "A" * 44])
def test_a_malformed_secret_is_not_the_sender_s_fault(secret: str) -> None:
    """It raises ValueError at once, and when it is checked before the first delivery."""
    with pytest.raises(ValueError):
        webhooks.unwrap(signed(), BODY, secret)
    with pytest.raises(ValueError):
        webhooks.check_secret(secret)


def test_a_public_key_verifies() -> None:
    """With the public key a receiver holds nothing that can sign; both signatures stand in one header."""
    headers = signed_by_key()
    assert webhooks.unwrap(headers, BODY, PUBLIC_KEY) == webhooks.unwrap(headers, BODY, SECRET)
    webhooks.check_secret(PUBLIC_KEY)
    for wrong in (signed(), {**headers, ID_HEADER: "another"}):
        with pytest.raises(webhooks.SignatureError):
            webhooks.unwrap(wrong, BODY, PUBLIC_KEY)


def test_a_public_key_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client imports cryptography only for a public key, and names its extra where it is missing."""
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    monkeypatch.delitem(sys.modules, "darkroom.ed25519", raising=False)
    monkeypatch.delattr(darkroom, "ed25519", raising=False)
    assert webhooks.unwrap(signed(), BODY, SECRET).id == DELIVERY_ID
    with pytest.raises(ImportError, match=r"darkroom-client\[ed25519\]"):
        webhooks.unwrap(signed_by_key(), BODY, PUBLIC_KEY)


def test_a_body_is_read_without_a_secret_when_asked_for() -> None:
    """`read` decodes without verifying."""
    assert webhooks.read("id", BODY) == webhooks.JobEvent(
        id="id", type=SUCCEEDED.type, timestamp=SUCCEEDED.timestamp, data=SUCCEEDED.data
    )
