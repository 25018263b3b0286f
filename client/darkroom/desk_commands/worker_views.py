"""Workers as commands print them for people."""

from collections.abc import Mapping, Sequence

import click

from darkroom.console import UNKNOWN, print_fields, printable, utc
from darkroom.desk_commands.rows import Row, ago, is_wide, print_rows
from darkroom_contracts.api.workers import Worker, WorkerJob, WorkerState

NOT_BEATING = (WorkerState.LOST, WorkerState.SILENT)
_FAILED = ("failed", "retried", "lost")


def print_workers(found: Sequence[Worker], model: str | None) -> None:
    """Print a line for each worker. Those that stopped beating are named before all, and listed first."""
    if not found:
        click.echo(_nobody(model))
        return
    ordered = sorted(found, key=lambda worker: worker.state not in NOT_BEATING)
    _name_silent([worker for worker in ordered if worker.state in NOT_BEATING])
    wide = is_wide()
    columns = ("worker", "state", "model", "last beat", "last hour", *(["device", "memory"] if wide else []))
    print_rows(columns, (_row(worker, wide) for worker in ordered), text="job")


def print_worker(worker: Worker) -> None:
    """Print every field of a worker."""
    print_fields(
        [
            ("worker", worker.worker),
            ("state", f"{worker.state}: {_MEANINGS[worker.state]}"),
            ("model", worker.model),
            ("revision", worker.model_revision),
            ("device", worker.device),
            ("gpu", worker.gpu_id),
            ("memory", _memory(worker)),
            ("versions", ", ".join(f"{name} {version}" for name, version in worker.versions.items()) or None),
            ("session", worker.session_id),
            ("started", worker.started_at),
            ("last beat", f"{utc(worker.last_beat_at)}, {ago(worker.last_beat_at)}"),
            ("drain asked", worker.drain_requested_at),
            ("jobs", "\n".join(map(_job, worker.jobs)) or None),
            ("last hour", _counts(worker.outcomes)),
            ("errors", _counts(worker.errors)),
        ]
    )


_MEANINGS = {
    WorkerState.STARTING: "it loads its model",
    WorkerState.IDLE: "it waits for a job",
    WorkerState.BUSY: "it renders or stores",
    WorkerState.PAUSED: "its model is paused",
    WorkerState.DRAINING: "it finishes its jobs and takes no other",
    WorkerState.DRAINED: "it takes no job until it is resumed or started anew",
    WorkerState.SILENT: "it sent no heartbeat for a lease; its jobs go back to the queue",
    WorkerState.LOST: "it was silent for so long that its session was ended; look at its machine, and start it anew",
}


def _nobody(model: str | None) -> str:
    if model is not None:
        return f"No worker of the model {printable(model)!r} is running; `darkroom workers` shows all."
    return "No worker is running. Jobs are accepted and wait; a worker is listed as soon as it is started."


def _name_silent(silent: Sequence[Worker]) -> None:
    if silent:
        names = ", ".join(f"{worker.worker} ({worker.state}, {ago(worker.last_beat_at)})" for worker in silent)
        click.echo(click.style(f"Stopped beating: {printable(names)}", fg="red", bold=True))
        click.echo()


def _row(worker: Worker, wide: bool) -> Row:
    hardware = [worker.device, _memory(worker)]
    cells = (worker.worker, worker.state, worker.model, worker.last_beat_at, _hour(worker.outcomes))
    first, *others = [_job(job) for job in worker.jobs] or [""]
    if wide:
        return Row((*cells, *hardware), first, notes=others)
    return Row(cells, ", ".join(filter(None, (first, *hardware))), notes=others)


def _hour(outcomes: Mapping[str, int]) -> str:
    """Return how the attempts of the last hour ended; releases, cancels and expiries are nobody's success or fault."""
    succeeded, failed = outcomes.get("succeeded", 0), sum(outcomes.get(outcome, 0) for outcome in _FAILED)
    return f"{succeeded:,} ok, {failed:,} failed" if succeeded or failed else UNKNOWN


def _job(job: WorkerJob) -> str:
    step = "" if job.step is None or job.steps is None else f", step {job.step} of {job.steps}"
    again = f", attempt {job.attempt}" if job.attempt > 1 else ""
    return f"{job.id}{step}{again}"


def _memory(worker: Worker) -> str | None:
    return None if worker.memory_bytes is None else f"{worker.memory_bytes / 1e9:.1f} GB"


def _counts(counts: Mapping[str, int]) -> str | None:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or None
