"""List the workers."""

from collections.abc import Mapping

from chassis.postgres import Database
from darkroom_contracts.api.workers import Worker, WorkerList, WorkerState
from operations.workers import store
from operations.workers.records import Session, Tally

MOST_WORKERS = 5000
_NOTHING = Tally({}, {})


class Workers:
    """The workers with an open session, and those that were lost."""

    def __init__(self, database: Database, lease_seconds: float) -> None:
        self._database = database
        self._lease_seconds = lease_seconds

    async def show(self, worker: str | None = None, model: str | None = None) -> WorkerList:
        """Return the workers by name: all of them, one, or those of a model."""
        async with self._database.index_walk() as connection:
            sessions = [
                *await store.list_workers(connection, worker, model, MOST_WORKERS),
                *await store.list_lost(connection, worker, model, MOST_WORKERS),
            ]
            tallies = await store.count_attempts(connection)
        sessions.sort(key=lambda session: session.worker)
        return WorkerList(tuple(self._view(session, tallies) for session in sessions[:MOST_WORKERS]))

    def _view(self, session: Session, tallies: Mapping[str, Tally]) -> Worker:
        tally = tallies.get(session.worker, _NOTHING)
        return Worker(
            worker=session.worker,
            state=state_of(session, self._lease_seconds),
            model=session.model,
            session_id=session.id,
            device=session.device,
            gpu_id=session.gpu_id,
            model_revision=session.model_revision,
            memory_bytes=session.memory_bytes,
            versions=session.versions,
            started_at=session.started_at,
            last_beat_at=session.last_beat_at,
            drain_requested_at=session.drain_requested_at,
            jobs=session.jobs,
            outcomes=tally.outcomes,
            errors=tally.errors,
        )


def state_of(session: Session, lease_seconds: float) -> WorkerState:
    """Return what the worker does: what needs an operator first comes first."""
    if session.silent_seconds is None:
        return WorkerState.LOST
    if session.silent_seconds > lease_seconds:
        return WorkerState.SILENT
    if session.drain_requested_at is not None:
        return WorkerState.DRAINING if session.jobs else WorkerState.DRAINED
    if session.jobs:
        return WorkerState.BUSY
    if session.device is None:
        return WorkerState.STARTING
    return WorkerState.PAUSED if session.paused else WorkerState.IDLE
