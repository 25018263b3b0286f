"""States of jobs with their transitions, and outcomes of attempts.

The database enforces the same transitions (`jobs_guard_transition` in `schema/schema.sql`); a test proves them equal.
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
