"""What goes wrong in an attempt, translated into outcomes."""

import msgspec

from chassis.storage import StorageUnavailableError
from contracts.api import JobInput
from contracts.errors import JobErrorCode
from contracts.models import Model, OutOfBoundsError
from gpu_consumer.outcome import Dead, Retry, Stage, failure
from gpu_consumer.render.process import RenderProcessLostError
from gpu_consumer.render.protocol import RenderFailed
from gpu_consumer.store import Claimed


def accepted_input(claimed: Claimed, model: Model) -> JobInput | Dead:
    """The job's input, if this worker's model can render it."""
    if claimed.model != model.name:
        return _not_renderable(f"The job is for model {claimed.model}, and came to a worker of {model.name}.")
    try:
        wanted = msgspec.json.decode(claimed.input, type=JobInput)
        model.check(wanted)
    except msgspec.DecodeError as error:
        return _not_renderable(f"The input can't be read: {error}.")
    except OutOfBoundsError as error:
        return _not_renderable(f"{error.field} {error}.")
    return wanted


def render_failed(answer: RenderFailed, claimed: Claimed) -> Retry | Dead:
    """A second lack of memory in a row will not pass; what took the render process with it may."""
    again = claimed.attempt > 1 and claimed.previous_error == answer.code
    retryable = answer.kind == "fatal" or (answer.kind == "transient" and not again)
    error = failure(answer.code, answer.message, Stage.RENDER, retryable=retryable)
    return Retry(error) if retryable else Dead(error)


def process_lost(loss: RenderProcessLostError) -> Retry:
    error = failure(JobErrorCode.RENDER_PROCESS_LOST, str(loss), Stage.RENDER, retryable=True)
    return Retry(error, {"last_lines": loss.last_lines})


def storage_unavailable(loss: StorageUnavailableError) -> Retry:
    """S3's own words stay with the attempt: they may name hosts."""
    message = "The pictures could not be stored."
    error = failure(JobErrorCode.STORAGE_UNAVAILABLE, message, Stage.STORE, retryable=True)
    return Retry(error, {"cause": str(loss)})


def bug(stage: Stage) -> Dead:
    message = "The worker failed in a way it was not built for; its logs know more."
    return Dead(failure(JobErrorCode.PIPELINE_ERROR, message, stage))


def _not_renderable(message: str) -> Dead:
    return Dead(failure(JobErrorCode.INPUT_NOT_RENDERABLE, message, Stage.CLAIM))
