"""How an attempt can end, as values. `settle` acts on them, and nothing else does."""

from enum import StrEnum
from typing import Any

import msgspec

from darkroom_contracts.api import JobError, Receipt
from darkroom_contracts.errors import JobErrorCode
from darkroom_contracts.objects import StoredOutput
from gpu_consumer.protocol import Step

MESSAGE_LIMIT = 1000
"""Characters of a failure's message that go onto the job's record."""


class Stage(StrEnum):
    """Where an attempt failed."""

    CLAIM = "claim"
    RENDER = "render"
    STORE = "store"


class Succeeded(msgspec.Struct, frozen=True, tag_field="kind", tag="succeeded"):
    """Rendered and stored."""

    outputs: tuple[StoredOutput, ...]
    receipt: Receipt
    metrics: dict[str, float]


class Retry(msgspec.Struct, frozen=True, tag_field="kind", tag="retry"):
    """Failed in a way that may pass; the job's attempts decide whether it is tried again."""

    error: JobError
    detail: dict[str, Any] = {}
    """What only operators see, kept with the attempt."""


class Dead(msgspec.Struct, frozen=True, tag_field="kind", tag="dead"):
    """Failed, and would fail again."""

    error: JobError
    detail: dict[str, Any] = {}
    """As Retry.detail."""


class Released(msgspec.Struct, frozen=True, tag_field="kind", tag="released"):
    """Given back because this worker stops; the attempt does not count."""


class Canceled(msgspec.Struct, frozen=True, tag_field="kind", tag="canceled"):
    """Stopped because its submitter asked for that."""


class Expired(msgspec.Struct, frozen=True, tag_field="kind", tag="expired"):
    """Stopped because the job's deadline passed."""

    error: JobError


class Discarded(msgspec.Struct, frozen=True, tag_field="kind", tag="discarded"):
    """Stopped because the job is no longer this worker's: whatever was made is not recorded."""


Outcome = Succeeded | Retry | Dead | Released | Canceled | Expired | Discarded


class Disposal(StrEnum):
    """What becomes of the message."""

    ACK = "ack"
    REJECT = "reject"
    """It goes to the dead letters."""
    BURY = "bury"
    """It goes to the dead letters, by a publish where its channel is lost: it alone knows its job."""
    GIVE_BACK = "give_back"
    """Untouched; the queue has it again."""


def failure(
    code: JobErrorCode, message: str, stage: Stage, *, retryable: bool = False, step: Step | None = None
) -> JobError:
    """A failure for the job's record, its message fit for Postgres and bounded. `step` is the last that was done."""
    printable = message.encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")
    done, steps = (step.step, step.steps) if step else (None, None)
    return JobError(code, printable[:MESSAGE_LIMIT], retryable, stage, done, steps)
