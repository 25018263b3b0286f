"""The bodies of the log of deliveries."""

from datetime import UTC, datetime, timedelta, timezone
from typing import get_args
from uuid import UUID

import msgspec
import pytest

from darkroom_contracts.api import encode
from darkroom_contracts.api.webhook_deliveries import (
    EventType,
    RecoverReply,
    RecoverRequest,
    WebhookAttempt,
    WebhookDelivery,
    WebhookDeliveryDetail,
    WebhookDeliveryList,
    WebhookDeliveryQuery,
)
from darkroom_contracts.states import DeliveryOutcome, DeliveryStatus, EndpointAudience
from darkroom_contracts.webhooks import TEST_EVENT, OperatorEvent, WebhookEvent

ID = UUID("01993b5c-0007-7000-8000-00000000000d")
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
ATTEMPT = WebhookAttempt(
    number=1,
    started_at=AT,
    ended_at=AT + timedelta(seconds=1),
    outcome=DeliveryOutcome.FAILED,
    status=503,
    dns_ms=1.5,
    connect_ms=2.5,
    tls_ms=None,
    first_byte_ms=980.25,
    total_ms=1000.0,
    error="The receiver answered 503.",
)
ATTEMPT_JSON = (
    b'{"number":1,"started_at":"2026-11-21T12:00:00Z","ended_at":"2026-11-21T12:00:01Z","outcome":"failed",'
    b'"status":503,"dns_ms":1.5,"connect_ms":2.5,"tls_ms":null,"first_byte_ms":980.25,"total_ms":1000.0,'
    b'"error":"The receiver answered 503."}'
)
DELIVERY = WebhookDelivery(
    id=ID,
    endpoint_id=ID,
    job_id=ID,
    job_version=3,
    event="job.failed",
    url="https://example.com/hook",
    status=DeliveryStatus.PENDING,
    in_flight=False,
    created_at=AT,
    scheduled_at=AT,
    next_attempt_at=AT,
    attempts_made=1,
    failures=1,
    dead_lettered=False,
    last_attempt=ATTEMPT,
)
DELIVERY_JSON = (
    b'{"id":"01993b5c-0007-7000-8000-00000000000d","endpoint_id":"01993b5c-0007-7000-8000-00000000000d",'
    b'"job_id":"01993b5c-0007-7000-8000-00000000000d","job_version":3,"event":"job.failed",'
    b'"url":"https://example.com/hook","status":"pending","in_flight":false,"created_at":"2026-11-21T12:00:00Z",'
    b'"scheduled_at":"2026-11-21T12:00:00Z","next_attempt_at":"2026-11-21T12:00:00Z","finished_at":null,'
    b'"attempts_made":1,"failures":1,"dead_lettered":false,"last_attempt":' + ATTEMPT_JSON
)
DETAIL = WebhookDeliveryDetail(**msgspec.structs.asdict(DELIVERY), attempts=[ATTEMPT], body='{"type":"job.failed"}')
DETAIL_JSON = DELIVERY_JSON + b',"attempts":[' + ATTEMPT_JSON + rb'],"body":"{\"type\":\"job.failed\"}"}'


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (DELIVERY, DELIVERY_JSON + b"}"),
        (DETAIL, DETAIL_JSON),
        (WebhookDeliveryList([DELIVERY], "next"), b'{"deliveries":[' + DELIVERY_JSON + b'}],"next_cursor":"next"}'),
        (WebhookDeliveryList([]), b'{"deliveries":[],"next_cursor":null}'),
        (RecoverReply(redelivered=2), b'{"redelivered":2,"next_since":null,"kept_since":null}'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_bytes_of_a_body_are_pinned(body: msgspec.Struct, text: bytes) -> None:
    """Every field is always there, null where it has no value, and a client reads back what was sent."""
    assert encode(body) == text
    assert msgspec.json.decode(text, type=type(body)) == body


def test_a_client_ignores_the_fields_of_later_versions() -> None:
    """Only requests refuse unknown fields."""
    later = DETAIL_JSON[:-1] + b',"colour":"amber"}'
    assert msgspec.json.decode(later, type=WebhookDeliveryDetail) == DETAIL


def test_each_type_of_event_can_be_asked_for() -> None:
    """The filter has the types of all audiences, and no other."""
    assert set(get_args(EventType)) == {*WebhookEvent, *OperatorEvent, TEST_EVENT}


def test_a_query_without_parameters_is_the_newest_page() -> None:
    """Of the caller's tenant."""
    query = msgspec.convert({}, WebhookDeliveryQuery, strict=False)
    assert query == WebhookDeliveryQuery()
    assert (query.limit, query.audience, query.cursor) == (50, EndpointAudience.CLIENT, None)


def test_a_query_is_read_from_text() -> None:
    """As it stands in a URL."""
    text = {"job": str(ID), "endpoint": "implicit", "status": "failed", "event": "job.failed", "limit": "100"}
    assert msgspec.convert(text, WebhookDeliveryQuery, strict=False) == WebhookDeliveryQuery(
        job=ID, endpoint="implicit", status=DeliveryStatus.FAILED, event="job.failed", limit=100
    )


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"endpoint": str(ID) + "\n"},
        {"endpoint": "IMPLICIT"},
        {"endpoint": ID.hex},
        {"event": "job.exploded"},
        {"status": "running"},
        {"cursor": "x" * 101},
        {"page": "2"},
    ],
)
def test_a_query_is_bounded(query: dict[str, str]) -> None:
    """Unknown parameters and values are refused."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(query, WebhookDeliveryQuery, strict=False)


def test_a_recovery_has_a_moment() -> None:
    """In any time zone; by default of what ended without success."""
    request = msgspec.json.decode(b'{"since":"2026-11-21T14:00:00+02:00"}', type=RecoverRequest)
    assert request == RecoverRequest(datetime(2026, 11, 21, 14, tzinfo=timezone(timedelta(hours=2))), "failed")
    for body in (b"{}", b'{"since":"2026-11-21T14:00:00"}', b'{"since":0}', b'{"since":null}'):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(body, type=RecoverRequest)
