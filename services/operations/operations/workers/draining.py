"""Drain and resume a worker."""

import re

import structlog

from chassis.postgres import Database
from darkroom_contracts.api.workers import DrainReply
from operations.audit import log as audit
from operations.audit.log import Action
from operations.errors import NotFoundError
from operations.workers import store

log = structlog.get_logger()


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What a worker can be called: its setting DARKROOM_WORKER_NAME."""


class UnknownWorkerError(NotFoundError):
    """There is no such worker, or it has ended."""

    def __init__(self, worker: str) -> None:
        super().__init__(f"No worker called {worker[:100]!r} is running; the list of workers shows all.")


class Draining:
    """Lets workers finish their jobs and take no other. They obey with their next heartbeat.

    The process goes on, so that whatever supervises it does not start another one. A worker that is started anew takes
    jobs.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def drain(self, actor: str, worker: str, reason: str) -> DrainReply:
        """Drain a worker; one that drains already stays as it is. Raises UnknownWorkerError."""
        _check(worker)
        async with self._database.transaction() as connection:
            drained = await store.request_drain(connection, worker)
            if drained is None:
                raise UnknownWorkerError(worker)
            since, changed = drained
            if changed:
                await audit.record(connection, actor, Action.DRAIN, worker, reason=reason)
                log.info("worker drained", worker=worker, by=actor)
        return DrainReply(worker, since, changed)

    async def resume(self, actor: str, worker: str) -> DrainReply:
        """Let a worker take jobs again; one that does not drain stays as it is. Raises UnknownWorkerError."""
        _check(worker)
        async with self._database.transaction() as connection:
            resumed = await store.cancel_drain(connection, worker)
            if resumed is None:
                raise UnknownWorkerError(worker)
            since, changed = resumed
            if changed:
                await audit.record(connection, actor, Action.END_DRAIN, worker, before={"drain_requested_at": since})
                log.info("worker resumed", worker=worker, by=actor)
        return DrainReply(worker, None, changed)


def _check(worker: str) -> None:
    """Raise UnknownWorkerError for what no worker can be called, such as what Postgres refuses as text."""
    if not _NAME.fullmatch(worker):
        raise UnknownWorkerError(worker)
