"""The metrics and log events of an attempt: one function records one moment. Times are by time.perf_counter."""

import time
from contextlib import AbstractContextManager

import structlog

from darkroom_contracts.errors import Stage
from darkroom_contracts.messages import UndecodableMessageError
from gpu_consumer import metrics
from gpu_consumer.job.outcome import Dead, Expired, Finished, Outcome, Retry
from gpu_consumer.job.verdict import Claimed, Finding, Foreign, Obsolete, Orphan, Refusal, Settled, Unanswered
from gpu_consumer.protocol import Rendered

log = structlog.get_logger()


def undecodable(error: UndecodableMessageError) -> None:
    """Record a message that can't be decoded."""
    metrics.MESSAGES.labels("undecodable").inc()
    log.warning("undecodable message", reason=error.reason)


def claimed(delivered_at: float) -> None:
    """Record that the job was claimed."""
    metrics.MESSAGES.labels(_tag(Claimed)).inc()
    metrics.PHASE_SECONDS.labels(metrics.Phase.CLAIM).observe(time.perf_counter() - delivered_at)


def refused(refusal: Refusal | Unanswered) -> None:
    """Record that the job was not claimed."""
    metrics.MESSAGES.labels(_tag(type(refusal))).inc()


def rendered(answer: Rendered) -> None:
    """Record a render that succeeded."""
    metrics.RENDER_SECONDS.observe(answer.inference_ms / 1000)
    metrics.PHASE_SECONDS.labels(metrics.Phase.DENOISE).observe(answer.phases.denoise)
    metrics.PHASE_SECONDS.labels(metrics.Phase.DECODE).observe(answer.phases.decode)
    metrics.STEPS.inc(answer.steps)
    if answer.phases.denoise > 0:
        metrics.STEPS_PER_SECOND.set(answer.steps / answer.phases.denoise)
    metrics.MEMORY_PEAK_BYTES.set(answer.peak_memory_bytes)
    metrics.TILED_RENDERS.inc(answer.tiled)


def aborted(cancel_requested_at: float | None) -> None:
    """Record a render that was stopped, and how long that took if a cancel was requested."""
    if cancel_requested_at is not None:
        metrics.CANCEL_SECONDS.observe(time.perf_counter() - cancel_requested_at)


def storing(finished: Finished, delivered_at: float) -> None:
    """Record that the job's turn to be stored has come."""
    waited = finished.waited_seconds + time.perf_counter() - finished.ended_at
    metrics.PHASE_SECONDS.labels(metrics.Phase.WAIT).observe(waited)
    idle_since = delivered_at if finished.turn_at is None else finished.turn_at
    metrics.OVERHEAD_SECONDS.observe(finished.ended_at - idle_since - finished.rendered.inference_ms / 1000)


def settle_seconds() -> AbstractContextManager[object]:
    """Time the settling transaction and its repetitions."""
    return metrics.PHASE_SECONDS.labels(metrics.Phase.SETTLE).time()


def settled(claim: Claimed, outcome: Outcome, finding: Settled | Refusal, delivered_at: float) -> None:
    """Record the end of an attempt. After a refusal its outcome was discarded."""
    tag, status = _tag(type(outcome)), finding.status if isinstance(finding, Settled) else None
    recorded = tag if status else "discarded"
    metrics.ATTEMPTS.labels(recorded).inc()
    metrics.ATTEMPT_SECONDS.labels(claim.model, recorded).observe(time.perf_counter() - delivered_at)
    if status and isinstance(outcome, Retry | Dead | Expired):
        metrics.ATTEMPT_ERRORS.labels(claim.model, outcome.error.code).inc()
    log.info("attempt ended", outcome=tag, job_status=status, attempt=claim.attempt)


def disposing(finding: Finding) -> None:
    """Record why a message is disposed of without an attempt."""
    match finding:
        case Obsolete(reason=reason):
            log.info("nothing to do", reason=reason)
        case Orphan():
            log.warning("the job is not in the database; its message goes to the dead letters")
        case Foreign():
            log.error("the queue holds messages of another database's jobs")


def broke(stage: Stage) -> None:
    """Log the bug that ended the attempt. Call it while the exception is handled."""
    log.exception("the attempt broke", stage=stage)


def _tag(kind: type[Outcome | Refusal | Claimed | Unanswered]) -> str:
    return str(kind.__struct_config__.tag)
