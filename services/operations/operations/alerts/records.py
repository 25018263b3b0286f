"""Kinds of alerts, and conditions that lead to them."""

from typing import Any

import msgspec

from darkroom_contracts.webhooks import OperatorEvent

GROUP_OPENED = OperatorEvent.GROUP_OPENED
QUEUE_STALLED = OperatorEvent.QUEUE_STALLED
WORKER_LOST = OperatorEvent.WORKER_LOST
OUTBOX_STUCK = OperatorEvent.OUTBOX_STUCK

WATCHED = (QUEUE_STALLED, WORKER_LOST, OUTBOX_STUCK)
"""The alerts whose conditions the watch evaluates. The others are opened where their cause is known."""
KINDS = (GROUP_OPENED, *WATCHED)


class Condition(msgspec.Struct, frozen=True):
    """A state that operators should know, as it was found now."""

    kind: OperatorEvent
    subject: str
    """The model, worker or destination that is in it."""
    mark: str
    """Equal in two rounds only if the state did not move on in between; empty if it cannot."""
    data: dict[str, Any] = {}
    """What is sent beside the subject."""

    @property
    def key(self) -> tuple[str, str]:
        """What an open alert is unique by."""
        return self.kind, self.subject


class Terms(msgspec.Struct, frozen=True):
    """After how many seconds a state is an alert."""

    lease: float
    """The workers' lease, of which they send a heartbeat in each fifth."""
    stalled: float
    """That a model's oldest message waits while none of its jobs is claimed."""
    stuck: float
    """That a message waits to be published."""

    @property
    def lost(self) -> float:
        """That a worker sent no heartbeat: four leases, but before its session is ended, which is after 300."""
        return min(4 * self.lease, 240.0)
