"""Builds the render message of a job from its row."""

from collections.abc import Mapping
from typing import Any

import msgspec

from darkroom_contracts.api import JobInput
from darkroom_contracts.messages.v2 import Render

_decode_input = msgspec.json.Decoder(JobInput).decode
_decode_metadata = msgspec.json.Decoder(dict[str, str]).decode


class UnreadableJobError(ValueError):
    """The job's row can't be put into a message."""


def render_message(row: Mapping[str, Any], model_revision: str | None) -> Render:
    """Return the message of a row of `take_messages` whose job still waits for it. Raises UnreadableJobError."""
    try:
        wanted, metadata = _decode_input(row["input"]), _decode_metadata(row["metadata"])
    except msgspec.DecodeError as error:
        raise UnreadableJobError(f"The row of job {row['job_id']} can't be read: {error}.") from error
    return Render(
        job_id=row["job_id"],
        generation=row["generation"],
        model=row["model"],
        model_revision=model_revision,
        tenant_id=row["tenant_id"],
        user_id=row["user_id"],
        key_id=row["key_id"],
        input=wanted,
        webhook_url=row["webhook_url"],
        webhook_events=tuple(row["webhook_events"]),
        metadata=metadata,
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
