"""The render message of a job, built from its row."""

from collections.abc import Mapping
from typing import Any

from chassis.jobs.row import UndecodableColumnError, decode_columns
from darkroom_contracts.messages.v2 import Render


class UnreadableJobError(ValueError):
    """The job's row cannot be decoded into a message."""


def render_message(row: Mapping[str, Any], model_revision: str | None) -> Render:
    """Return the message of a row of `take_messages` whose job still waits for it. Raises UnreadableJobError."""
    try:
        decoded = decode_columns(row, ("input", "metadata", "webhook_events"))
    except UndecodableColumnError as error:
        raise UnreadableJobError(f"The row of job {row['job_id']} cannot be decoded: {error}") from error
    return Render(
        job_id=row["job_id"],
        generation=row["generation"],
        model=row["model"],
        model_revision=model_revision,
        tenant_id=row["tenant_id"],
        user_id=row["user_id"],
        key_id=row["key_id"],
        **decoded,
        webhook_url=row["webhook_url"],
        priority=row["priority"],
        cost=row["cost"],
        created_at=row["job_created_at"],
        expires_at=row["expires_at"],
        ttl_seconds=row["ttl_seconds"],
        deadline_seconds=row["deadline_seconds"],
        deadline_at=row["deadline_at"],
        max_attempts=row["max_attempts"],
        retried_from=row["retried_from"],
        idempotency_key=row["idempotency_key"],
        body_hash=row["body_hash"],
        instance_id=row["instance_id"],
        stamped_at=row["created_at"],
        traceparent=row["traceparent"],
    )
