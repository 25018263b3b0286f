"""How an attempt ends, as values. `settling` acts on them, and nothing else does."""

from enum import StrEnum
from typing import Any

import msgspec

from chassis.text import storable
from darkroom_contracts.api import JobError, JobInput, JobMetrics, Receipt
from darkroom_contracts.errors import JobErrorCode, Stage
from darkroom_contracts.objects import StoredOutput
from gpu_consumer.protocol import Picture, Ready, Rendered, Step

MESSAGE_LIMIT = 1000
"""Characters of a failure's message that go onto the job's record."""


class Finished(msgspec.Struct, frozen=True):
    """A render whose pictures wait to be stored. Times are by time.perf_counter."""

    wanted: JobInput
    pictures: tuple[Picture, ...]
    rendered: Rendered
    ready: Ready
    """As reported by the process that rendered."""
    waited_seconds: float
    """For a warm render process."""
    turn_at: float | None
    """When the job's turn on the GPU came; None if the GPU was free already."""
    ended_at: float
    """When the render ended."""


class Succeeded(msgspec.Struct, frozen=True, tag="succeeded"):
    """Rendered and stored."""

    outputs: tuple[StoredOutput, ...]
    receipt: Receipt
    metrics: JobMetrics


class Retry(msgspec.Struct, frozen=True, tag="retry"):
    """A failure that may pass. The number of the job's attempts decides whether it is tried again."""

    error: JobError
    detail: dict[str, Any] = {}
    """What only operators see, kept with the attempt."""


class Dead(msgspec.Struct, frozen=True, tag="dead"):
    """A permanent failure."""

    error: JobError
    detail: dict[str, Any] = {}
    """As Retry.detail."""


class Released(msgspec.Struct, frozen=True, tag="released"):
    """Given back because the worker stops; the attempt does not count."""


class Canceled(msgspec.Struct, frozen=True, tag="canceled"):
    """Stopped because a cancel was requested."""


class Expired(msgspec.Struct, frozen=True, tag="expired"):
    """Stopped because the job's deadline passed."""

    error: JobError


class Discarded(msgspec.Struct, frozen=True, tag="discarded"):
    """Stopped because the job is not this worker's any more. Nothing is recorded."""


Outcome = Succeeded | Retry | Dead | Released | Canceled | Expired | Discarded


class Disposal(StrEnum):
    """What the worker does with the message."""

    ACK = "ack"
    REJECT = "reject"
    """Send it to the dead letters."""
    BURY = "bury"
    """Send it to the dead letters, by a publish if its channel is lost: no other record of its job exists."""
    GIVE_BACK = "give_back"
    """Return it to the queue, untouched."""


def failure(
    code: JobErrorCode, message: str, stage: Stage, *, retryable: bool = False, step: Step | None = None
) -> JobError:
    """Return a failure for the job's record, its message fit for Postgres and bounded. `step` is the last one done."""
    done, steps = (step.step, step.steps) if step else (None, None)
    return JobError(code, storable(message)[:MESSAGE_LIMIT], retryable, stage, done, steps)
