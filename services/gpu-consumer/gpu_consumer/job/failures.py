"""Failures of an attempt, translated into outcomes."""

from typing import Any

import msgspec

from chassis.errors import StorageUnavailableError
from darkroom_contracts.api import JobInput
from darkroom_contracts.errors import JobErrorCode, Stage
from darkroom_contracts.models import Model, OutOfBoundsError
from gpu_consumer.job.outcome import Dead, Retry, failure
from gpu_consumer.job.verdict import Claimed
from gpu_consumer.protocol import FailureKind, Step
from gpu_consumer.renderer.process import RenderProcessLostError
from gpu_consumer.renderer.renderer import Failure

POISON_LOSSES = 3
"""Render processes that a job may lose in one generation. With the last of them it is dead."""


def accepted_input(claimed: Claimed, model: Model) -> JobInput | Dead:
    """Return the job's input, or why this worker's model can't render it."""
    if claimed.model != model.name:
        return _not_renderable(f"The job is for model {claimed.model}, but reached a worker of {model.name}.")
    try:
        wanted = msgspec.json.decode(claimed.input, type=JobInput)
        model.check(wanted)
    except msgspec.DecodeError as error:
        return _not_renderable(f"The input can't be decoded: {error}.")
    except OutOfBoundsError as error:
        return _not_renderable(f"{error.field} {error}.")
    return wanted


def needs_frugality(claimed: Claimed) -> bool:
    """Return whether the attempt before did not fit into memory."""
    return claimed.attempt > 1 and claimed.previous_error == JobErrorCode.OUT_OF_MEMORY


def render_failed(failed: Failure, claimed: Claimed, step: Step | None) -> Retry | Dead:
    """Return the outcome of a failed render. `step` is the last one done."""
    answer = failed.answer
    detail = _detail(failed.last_lines)
    if answer.kind is FailureKind.FATAL:
        return _lost(answer.message, claimed, step, detail)
    retryable = _may_pass(failed, claimed)
    error = failure(answer.code, answer.message, Stage.RENDER, retryable=retryable, step=step)
    return Retry(error, detail) if retryable else Dead(error, detail)


def process_lost(lost: RenderProcessLostError, claimed: Claimed) -> Retry | Dead:
    """Return the outcome of a render whose process was lost."""
    return _lost(str(lost), claimed, lost.last_step, _detail(lost.last_lines))


def storage_unavailable(loss: StorageUnavailableError) -> Retry:
    """Return the outcome of pictures that were not stored. S3's message may name hosts: only operators see it."""
    message = "The pictures could not be stored."
    error = failure(JobErrorCode.STORAGE_UNAVAILABLE, message, Stage.STORE, retryable=True)
    return Retry(error, {"cause": str(loss)})


def bug(stage: Stage) -> Dead:
    """Return the outcome of an attempt that a bug ended."""
    message = "The worker failed because of a bug. Its log has the traceback."
    return Dead(failure(JobErrorCode.PIPELINE_ERROR, message, stage))


def _may_pass(failed: Failure, claimed: Claimed) -> bool:
    """Return whether another attempt may succeed.

    A failure in a process that was replaced never kills a job. Otherwise the second failure with the same code does.
    """
    if failed.replaced:
        return True
    again = claimed.attempt > 1 and claimed.previous_error == failed.answer.code
    return not again and (failed.answer.kind is FailureKind.TRANSIENT or failed.may_be_the_process)


def _lost(message: str, claimed: Claimed, step: Step | None, detail: dict[str, Any]) -> Retry | Dead:
    losses = claimed.process_losses + 1
    if losses < POISON_LOSSES:
        return Retry(
            failure(JobErrorCode.RENDER_PROCESS_LOST, message, Stage.RENDER, retryable=True, step=step), detail
        )
    poisonous = f"This job ended the render process {losses} times. The last time: {message}"
    return Dead(failure(JobErrorCode.POISON, poisonous, Stage.RENDER, step=step), detail)


def _detail(last_lines: tuple[str, ...]) -> dict[str, Any]:
    return {"last_lines": last_lines}


def _not_renderable(message: str) -> Dead:
    return Dead(failure(JobErrorCode.INPUT_NOT_RENDERABLE, message, Stage.CLAIM))
