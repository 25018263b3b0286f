"""Webhooks: types of events here, bodies in `payload`, signatures in `signing`.

`payload` is a module of its own because it imports the API's bodies, which import the types.
"""

from enum import StrEnum


class WebhookEvent(StrEnum):
    """The change of state that an event reports."""

    STARTED = "job.started"
    CANCELED = "job.canceled"
    EXPIRED = "job.expired"
    FAILED = "job.failed"
    SUCCEEDED = "job.succeeded"


TERMINAL_EVENTS = tuple(event for event in WebhookEvent if event is not WebhookEvent.STARTED)
"""The events that report the end of a job."""
