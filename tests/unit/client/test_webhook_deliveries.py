from itertools import islice

from darkroom.webhook_deliveries import POLL_SECONDS
from darkroom_contracts.api.webhook_deliveries import WebhookDelivery, WebhookDeliveryList
from darkroom_contracts.states import DeliveryStatus
from tests.unit.client.answers import JOB_ID, Script, reply
from tests.unit.client.webhook_answers import DELIVERY_ID, delivery, detail, refused, succeeded

PATH = f"/v1/webhook-deliveries/{DELIVERY_ID}"


def test_a_list_follows_its_pages() -> None:
    """An empty page does not end the list while there is a next one; filters stay the same."""
    pages: tuple[tuple[list[WebhookDelivery], str | None], ...] = (
        ([delivery()], "a"),
        ([], "b"),
        ([delivery(), delivery()], None),
    )
    script = Script(*(reply(WebhookDeliveryList(*page)) for page in pages))
    found = script.client().webhook_deliveries.list(
        job=JOB_ID, endpoint="implicit", status=DeliveryStatus.FAILED, event="job.failed"
    )
    assert len(list(found)) == 3
    queries = [dict(request.url.params) for request in script.requests]
    filters = {"job": str(JOB_ID), "endpoint": "implicit", "status": "failed", "event": "job.failed"}
    common = {**filters, "audience": "client", "limit": "100"}
    assert queries == [common, {**common, "cursor": "a"}, {**common, "cursor": "b"}]


def test_pages_are_requested_as_they_are_needed() -> None:
    """The first deliveries need the first page alone."""
    script = Script(reply(WebhookDeliveryList([delivery(), delivery()], "next")))
    assert len(list(islice(script.client().webhook_deliveries.list(), 2))) == 2
    assert len(script.requests) == 1


def test_one_delivery_is_read_and_sent_again() -> None:
    """Both use the delivery's path."""
    script = Script(reply(detail(refused())), reply(delivery(), 202))
    deliveries = script.client().webhook_deliveries
    assert deliveries.get(DELIVERY_ID).attempts == [refused()]
    assert deliveries.redeliver(DELIVERY_ID) == delivery()
    assert [(request.method, request.url.path) for request in script.requests] == [
        ("GET", PATH),
        ("POST", f"{PATH}/redeliver"),
    ]


def test_waiting_ends_with_the_first_attempt() -> None:
    """It ends when the delivery succeeded or an attempt failed."""
    for last in (succeeded(), detail(refused())):
        script = Script(reply(detail()), reply(detail(in_flight=True)), reply(last))
        assert script.client().webhook_deliveries.wait(DELIVERY_ID, timeout_seconds=60) == last
        assert script.pauses == [POLL_SECONDS] * 2


def test_waiting_ends_with_the_timeout() -> None:
    """The delivery is returned as it is."""
    script = Script(reply(detail()))
    waiting = script.client().webhook_deliveries.wait(DELIVERY_ID, timeout_seconds=0)
    assert (waiting.status, waiting.attempts) == (DeliveryStatus.PENDING, [])
