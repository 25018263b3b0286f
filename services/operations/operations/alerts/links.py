"""Where operators look at the subject of an alert."""

from urllib.parse import quote

from darkroom_contracts.webhooks import OperatorEvent
from operations.alerts.records import GROUP_OPENED, OUTBOX_STUCK, QUEUE_STALLED, WORKER_LOST

_PATHS = {
    GROUP_OPENED: "/v1/operations/dead-letter-groups/{}",
    QUEUE_STALLED: "/v1/operations/queues?model={}",
    WORKER_LOST: "/v1/operations/workers?worker={}",
    OUTBOX_STUCK: "/v1/operations/queues",
}


def link_to(origin: str, kind: OperatorEvent, subject: str) -> str:
    """Return the link for an alert: absolute, or a path when `origin` is empty."""
    return origin + _PATHS[kind].format(quote(subject, safe=""))
