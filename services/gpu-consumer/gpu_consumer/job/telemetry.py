"""The metrics and log events of an attempt, one function for each moment."""

import time
from contextlib import AbstractContextManager

import structlog

from darkroom_contracts.errors import Stage
from darkroom_contracts.messages import UndecodableMessageError
from darkroom_contracts.states import JobStatus
from gpu_consumer import metrics
from gpu_consumer.job.outcome import Finished, Outcome
from gpu_consumer.job.verdict import Claimed, Finding, Foreign, Obsolete, Orphan, Refusal, Unanswered
from gpu_consumer.protocol import Rendered

log = structlog.get_logger()


def undecodable(error: UndecodableMessageError) -> None:
    """The message can't be decoded."""
    metrics.MESSAGES.labels("undecodable").inc()
    log.warning("undecodable message", reason=error.reason)


def claimed(delivered_at: float) -> None:
    """The job was claimed. `delivered_at` is by time.perf_counter, as all times here."""
    metrics.MESSAGES.labels(_tag(Claimed)).inc()
    metrics.PHASE_SECONDS.labels(metrics.Phase.CLAIM).observe(time.perf_counter() - delivered_at)


def refused(refusal: Refusal | Unanswered) -> None:
    """The job was not claimed."""
    metrics.MESSAGES.labels(_tag(type(refusal))).inc()


def rendered(answer: Rendered) -> None:
    """The render succeeded."""
    metrics.RENDER_SECONDS.observe(answer.inference_ms / 1000)
    metrics.PHASE_SECONDS.labels(metrics.Phase.DENOISE).observe(answer.phases.denoise)
    metrics.PHASE_SECONDS.labels(metrics.Phase.DECODE).observe(answer.phases.decode)
    metrics.STEPS.inc(answer.steps)
    if answer.phases.denoise > 0:
        metrics.STEPS_PER_SECOND.set(answer.steps / answer.phases.denoise)
    metrics.MEMORY_PEAK_BYTES.set(answer.peak_memory_bytes)
    metrics.TILED_RENDERS.inc(answer.tiled)


def aborted(cancel_requested_at: float | None) -> None:
    """The render was stopped, maybe because of a cancel."""
    if cancel_requested_at is not None:
        metrics.CANCEL_SECONDS.observe(time.perf_counter() - cancel_requested_at)


def storing(finished: Finished, delivered_at: float) -> None:
    """The job's turn to be stored has come."""
    waited = finished.waited_seconds + time.perf_counter() - finished.ended_at
    metrics.PHASE_SECONDS.labels(metrics.Phase.WAIT).observe(waited)
    idle_since = delivered_at if finished.turn_at is None else finished.turn_at
    metrics.OVERHEAD_SECONDS.observe(finished.ended_at - idle_since - finished.rendered.inference_ms / 1000)


def settle_seconds() -> AbstractContextManager[object]:
    """Time the settling transaction, its repetitions included."""
    return metrics.PHASE_SECONDS.labels(metrics.Phase.SETTLE).time()


def settled(claim: Claimed, outcome: Outcome, status: JobStatus | None) -> None:
    """The attempt ended. `status` is the job's; None if the job was not this worker's any more."""
    tag = _tag(type(outcome))
    metrics.ATTEMPTS.labels(tag if status else "discarded").inc()
    log.info("attempt ended", outcome=tag, job_status=status, attempt=claim.attempt)


def disposing(finding: Finding) -> None:
    """The message is about to be disposed of."""
    match finding:
        case Obsolete(reason=reason):
            log.info("nothing to do", reason=reason)
        case Orphan():
            log.warning("the job is not in the database; its message goes to the dead letters")
        case Foreign():
            log.error("the queue holds messages of another database's jobs")


def broke(stage: Stage) -> None:
    """A bug ended the attempt. Call it while the exception is handled."""
    log.exception("the attempt broke", stage=stage)


def _tag(kind: type[Outcome | Refusal | Claimed | Unanswered]) -> str:
    return str(kind.__struct_config__.tag)
