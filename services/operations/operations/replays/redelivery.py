"""Replay a webhook letter: its delivery becomes due again."""

from chassis.postgres import Connection
from darkroom_contracts.states import EndpointStatus, LetterStatus
from operations.replays import store
from operations.replays.outcome import Redelivered, ReplayRefusedError, Verdict
from operations.replays.records import LockedDelivery, WebhookLetter


async def redeliver(connection: Connection, letter: WebhookLetter) -> Redelivered:
    """Make the delivery of an open letter due again, in the caller's transaction. Raises ReplayRefusedError."""
    delivery = await store.lock_delivery(connection, letter.delivery_id)
    status = await store.lock_letter(connection, letter.id)
    known = check_delivery(letter, delivery, status)
    if not await store.redeliver(connection, letter.delivery_id):
        raise ReplayRefusedError(
            Verdict.BUSY, f"Delivery {letter.delivery_id} changed during the replay; look at it again."
        )
    return Redelivered(letter.id, letter.delivery_id, known.endpoint_status is EndpointStatus.PAUSED)


def check_delivery(
    letter: WebhookLetter, delivery: LockedDelivery | None, status: LetterStatus | None
) -> LockedDelivery:
    """Return the delivery if it can be sent again. Raises ReplayRefusedError."""
    if delivery is None:
        raise ReplayRefusedError(
            Verdict.REMOVED, "The delivery can't be sent again: it was removed because of its age."
        )
    if status is LetterStatus.DISCARDED:
        raise ReplayRefusedError(Verdict.DISCARDED, "The dead letter is closed: it was discarded.")
    if status is not LetterStatus.OPEN:
        state = "being sent" if delivery.in_flight else str(delivery.status)
        raise ReplayRefusedError(
            Verdict.REPLAYED, f"The dead letter was replayed already: delivery {letter.delivery_id} is {state}."
        )
    if delivery.in_flight:
        raise ReplayRefusedError(
            Verdict.BUSY,
            f"An attempt of delivery {letter.delivery_id} is being sent; look at the dead letter again in a minute.",
        )
    _check_endpoint(delivery)
    return delivery


def _check_endpoint(delivery: LockedDelivery) -> None:
    if delivery.endpoint_deleted:
        raise ReplayRefusedError(Verdict.ENDPOINT_CLOSED, "The delivery can't be sent again: its endpoint was deleted.")
    if delivery.endpoint_status is EndpointStatus.DISABLED:
        raise ReplayRefusedError(
            Verdict.ENDPOINT_CLOSED,
            f"The delivery's endpoint is disabled: {delivery.disabled_reason} It must be enabled first.",
        )
