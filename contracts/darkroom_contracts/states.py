"""States of jobs with their transitions, states of webhooks and dead letters, and outcomes of attempts.

The database enforces the same values and transitions (the CHECKs and `jobs_guard_transition` in `schema/schema.sql`);
tests prove them equal.
"""

from enum import StrEnum


class JobStatus(StrEnum):
    """The state of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


class AttemptOutcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"
    RETRIED = "retried"
    """It failed, and its job was queued again."""
    RELEASED = "released"
    """The worker returned the job before it rendered; the attempt was refunded."""
    LOST = "lost"
    """Its lease expired."""


class LetterKind(StrEnum):
    """What a dead letter is about."""

    JOB = "job"
    """The job failed for good."""
    ORPHAN = "orphan"
    """The message of a job that this database does not know."""
    UNDECODABLE = "undecodable"
    """A message that can't be decoded."""
    WEBHOOK = "webhook"
    """A webhook delivery that was given up: each attempt failed."""


class LetterStatus(StrEnum):
    """The state of a dead letter."""

    OPEN = "open"
    REPLAYING = "replaying"
    """Its job is queued or running again, or its delivery is due again."""
    REPLAYED = "replayed"
    """The replayed job or delivery has ended."""
    DISCARDED = "discarded"


class EndpointAudience(StrEnum):
    """Whose events a webhook endpoint receives."""

    CLIENT = "client"
    OPERATOR = "operator"


class EndpointStatus(StrEnum):
    """The state of a webhook endpoint."""

    ENABLED = "enabled"
    PAUSED = "paused"
    """Its deliveries wait."""
    DISABLED = "disabled"
    """It receives no events until it is enabled again."""


class DeliveryStatus(StrEnum):
    """The state of a webhook delivery."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """It ended unreceived: its schedule is over, its receiver is gone, it was given up, or it can't be encoded."""
    RETIRED = "retired"
    """It was older than the schedule when the first dispatcher started, and was not sent."""
    CANCELED = "canceled"
    """Its endpoint was deleted or disabled."""


class DeliveryOutcome(StrEnum):
    """How an attempt of a webhook delivery ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RELEASED = "released"
    """It was not sent, for reasons of the service's own; it does not count."""
    LOST = "lost"
    """Its lease expired; whether it was sent is unknown. It does not count as a failure."""


TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    # failed: the broker reached the delivery limit of its message
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.EXPIRED}),
    # queued: a retry, the release by a draining worker, or an expired lease
    JobStatus.RUNNING: frozenset(
        {JobStatus.QUEUED, JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.EXPIRED}
    ),
    # queued: an operator's replay, with the next generation
    JobStatus.FAILED: frozenset({JobStatus.QUEUED}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.CANCELED: frozenset(),
    JobStatus.EXPIRED: frozenset(),
}

TERMINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.EXPIRED})
