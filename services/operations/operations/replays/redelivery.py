"""Replay a webhook letter: its delivery becomes due again."""

from chassis.postgres import Connection
from darkroom_contracts.states import EndpointStatus
from operations.letters.records import LetterStatus
from operations.replays import store
from operations.replays.outcome import Redelivered, ReplayRefusedError
from operations.replays.records import LockedDelivery, WebhookLetter


async def redeliver(connection: Connection, letter: WebhookLetter) -> Redelivered:
    """Make the delivery of an open letter due again, in the caller's transaction. Raises ReplayRefusedError."""
    delivery = await store.lock_delivery(connection, letter.delivery_id)
    if delivery is None:
        raise ReplayRefusedError("The delivery can't be sent again: it was removed because of its age.")
    _check_replayable(letter, delivery, await store.lock_letter(connection, letter.id))
    if not await store.redeliver(connection, letter.delivery_id):
        raise ReplayRefusedError(f"Delivery {letter.delivery_id} changed during the replay; look at it again.")
    return Redelivered(letter.id, letter.delivery_id, delivery.endpoint_status is EndpointStatus.PAUSED)


def _check_replayable(letter: WebhookLetter, delivery: LockedDelivery, status: LetterStatus | None) -> None:
    if status is LetterStatus.DISCARDED:
        raise ReplayRefusedError("The dead letter is closed: it was discarded.")
    if status is not LetterStatus.OPEN:
        state = "being sent" if delivery.in_flight else str(delivery.status)
        raise ReplayRefusedError(f"The dead letter was replayed already: delivery {letter.delivery_id} is {state}.")
    if delivery.in_flight:
        raise ReplayRefusedError(
            f"An attempt of delivery {letter.delivery_id} is being sent; look at the dead letter again in a minute."
        )
    if delivery.endpoint_deleted:
        raise ReplayRefusedError("The delivery can't be sent again: its endpoint was deleted.")
    if delivery.endpoint_status is EndpointStatus.DISABLED:
        raise ReplayRefusedError(
            f"The delivery's endpoint is disabled: {delivery.disabled_reason} It must be enabled first."
        )
