"""Webhooks: types of events here, bodies in `payload`, signatures in `signing`.

`payload` is a module of its own because it imports the API's bodies, which import the types.
"""

from enum import StrEnum


class WebhookEvent(StrEnum):
    """The change of state of a job that an event reports."""

    STARTED = "job.started"
    CANCELED = "job.canceled"
    EXPIRED = "job.expired"
    FAILED = "job.failed"
    SUCCEEDED = "job.succeeded"


TERMINAL_EVENTS = tuple(event for event in WebhookEvent if event is not WebhookEvent.STARTED)
"""The events that report the end of a job."""


class OperatorEvent(StrEnum):
    """What an event reports to operators."""

    GROUP_OPENED = "dead_letters.group_opened"
    """Dead letters of a new kind of failure."""
    QUEUE_STALLED = "queue.stalled"
    """Messages of a model wait, and no worker takes one."""
    WORKER_LOST = "worker.lost"
    """A worker stopped sending heartbeats and did not end its session."""
    OUTBOX_STUCK = "outbox.stuck"
    """Messages wait to be published."""
    ENDPOINT_FAILING = "webhook_endpoint.failing"
    """A standing endpoint did nothing but fail for half of the time after which it is disabled."""
    ENDPOINT_DISABLED = "webhook_endpoint.disabled"
    """A standing endpoint was disabled, because its receiver is gone or did nothing but fail."""


TEST_EVENT = "webhook_endpoint.test"
"""The event that is sent to an endpoint on request, whichever events it asked for."""
