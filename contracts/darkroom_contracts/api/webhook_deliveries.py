"""The log of webhook deliveries: lists, one delivery with its attempts, redelivery and recovery.

A receiver's response is in none of these bodies: it may hold what the network of the service shows to no tenant.
"""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from darkroom_contracts.api.jobs import Timestamp
from darkroom_contracts.states import DeliveryOutcome, DeliveryStatus, EndpointAudience

MAX_PAGE = 100
"""Most deliveries in a page."""
MAX_ATTEMPTS_SHOWN = 1000
"""Most attempts of a delivery in a response."""
MAX_RECOVERED = 10_000
"""Most deliveries that a recovery looks at in one request."""

EndpointReference = Annotated[
    str, Meta(pattern=r"^(implicit|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$(?!\n)")
]
"""The id of an endpoint, or `implicit` for that of the jobs' `webhook_url`s."""
EventType = Literal[
    "job.started",
    "job.canceled",
    "job.expired",
    "job.failed",
    "job.succeeded",
    "dead_letters.group_opened",
    "queue.stalled",
    "worker.lost",
    "outbox.stuck",
    "webhook_endpoint.failing",
    "webhook_endpoint.disabled",
    "webhook_endpoint.test",
]
"""The types of events: WebhookEvent, OperatorEvent and TEST_EVENT."""


class WebhookDeliveryQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of a list of deliveries. A filter that nothing matches gives an empty list."""

    job: Annotated[UUID | None, Meta(description="Only deliveries of this job.", extra={"default": "any"})] = None
    endpoint: Annotated[
        EndpointReference | None,
        Meta(description="Only deliveries of this endpoint; `implicit` is allowed.", extra={"default": "any"}),
    ] = None
    status: Annotated[
        DeliveryStatus | None, Meta(description="Only deliveries of this status.", extra={"default": "any"})
    ] = None
    event: Annotated[
        EventType | None, Meta(description="Only deliveries of this type of event.", extra={"default": "any"})
    ] = None
    audience: Annotated[
        EndpointAudience,
        Meta(description="`operator` lists the deliveries of operators' endpoints, for operators' keys only."),
    ] = EndpointAudience.CLIENT
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE, description="Most deliveries of the page.")] = 50
    cursor: Annotated[
        Annotated[str, Meta(max_length=100)] | None,
        Meta(description="`next_cursor` of the page before this one.", extra={"default": "the newest"}),
    ] = None


class WebhookAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt to deliver. Times in milliseconds are null for what did not happen, or did not end."""

    number: Annotated[int, Meta(description="Counted from 1.")]
    started_at: Annotated[Timestamp, Meta(description="When it was logged, before it was sent.")]
    ended_at: Annotated[Timestamp | None, Meta(description="When it ended; null while it is in flight.")] = None
    outcome: Annotated[
        DeliveryOutcome | None, Meta(description="How it ended. A `released` attempt was not sent and does not count.")
    ] = None
    status: Annotated[int | None, Meta(description="HTTP status of the receiver's response.")] = None
    dns_ms: Annotated[float | None, Meta(description="Milliseconds to resolve the host's name.")] = None
    connect_ms: Annotated[float | None, Meta(description="Milliseconds to connect.")] = None
    tls_ms: Annotated[float | None, Meta(description="Milliseconds of the TLS handshake.")] = None
    first_byte_ms: Annotated[
        float | None, Meta(description="Milliseconds from the start to the first byte of the response.")
    ] = None
    total_ms: Annotated[float | None, Meta(description="Milliseconds of the whole attempt.")] = None
    error: Annotated[str | None, Meta(description="Why it failed, for people.")] = None


class WebhookDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """An event for an endpoint, and how far its delivery is."""

    id: Annotated[
        UUID, Meta(description="The `webhook-id` of every attempt; ids are UUIDv7, ordered by the time of the event.")
    ]
    endpoint_id: Annotated[UUID, Meta(description="Endpoint that it is for.")]
    job_id: Annotated[UUID | None, Meta(description="Job of the event; null for an event that is not a job's.")] = None
    job_version: Annotated[int | None, Meta(description="The job's `version` at the event.")] = None
    event: Annotated[str, Meta(description="Type of the event, such as `job.succeeded`.")]
    url: Annotated[str, Meta(description="Where it was last sent, or is to be sent.")]
    status: Annotated[DeliveryStatus, Meta(description="`pending` until it succeeded or is not tried any more.")]
    in_flight: Annotated[bool, Meta(description="Whether an attempt is under way.")]
    created_at: Annotated[Timestamp, Meta(description="When the event happened.")]
    scheduled_at: Annotated[
        Timestamp, Meta(description="When its schedule began: at the event, or at the latest redelivery.")
    ]
    next_attempt_at: Annotated[
        Timestamp | None, Meta(description="When the next attempt is due; null if none follows.")
    ] = None
    finished_at: Annotated[Timestamp | None, Meta(description="When it ended; null while it is pending.")] = None
    attempts_made: Annotated[int, Meta(description="Attempts so far, those before a redelivery included.")]
    failures: Annotated[int, Meta(description="Failed attempts since `scheduled_at`.")]
    dead_lettered: Annotated[
        bool, Meta(description="Whether it has a dead letter, from which an operator can replay it.")
    ]
    last_attempt: Annotated[WebhookAttempt | None, Meta(description="The latest attempt; null before the first.")] = (
        None
    )


class WebhookDeliveryDetail(WebhookDelivery, frozen=True, kw_only=True):
    """A delivery with its attempts and its body."""

    attempts: Annotated[
        list[WebhookAttempt],
        Meta(description=f"The attempts, the first one first; of more than {MAX_ATTEMPTS_SHOWN} the latest."),
    ]
    body: Annotated[
        str | None,
        Meta(
            description="The exact text that every attempt sends, which its signature covers; null before the first"
            " attempt."
        ),
    ] = None


class WebhookDeliveryList(msgspec.Struct, frozen=True):
    """A page of deliveries.

    A page looks at a bounded number of deliveries. With a filter it can therefore be short, or empty, though more
    follow: `next_cursor` alone says whether they do.
    """

    deliveries: Annotated[list[WebhookDelivery], Meta(description="The newest first.")]
    next_cursor: Annotated[
        str | None, Meta(description="`cursor` of the next page; null on the last one. Its content has no meaning.")
    ] = None


class RecoverRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which deliveries of an endpoint to send again, with the same ids and bodies."""

    since: Annotated[Timestamp, Meta(description="Only deliveries of events since then. Not in the future.")]
    include: Annotated[
        Literal["failed", "all"],
        Meta(
            description="`failed`: those that ended without success (`failed`, `retired` and `canceled`). `all`:"
            " those that succeeded too."
        ),
    ] = "failed"


class RecoverReply(msgspec.Struct, frozen=True, kw_only=True):
    """What a recovery did. The deliveries are due at once, the oldest first."""

    redelivered: Annotated[int, Meta(description="Deliveries that are sent again because of this request.")]
    next_since: Annotated[
        Timestamp | None,
        Meta(
            description=f"`since` of the next request: a request looks at {MAX_RECOVERED} deliveries at the most. Null"
            " when all were looked at."
        ),
    ] = None
    kept_since: Annotated[
        Timestamp | None,
        Meta(
            description="When the event of the endpoint's oldest delivery happened; earlier ones were removed because"
            " of their age. Null without deliveries."
        ),
    ] = None
