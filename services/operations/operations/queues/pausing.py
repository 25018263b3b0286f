"""Pause and resume a model."""

from typing import Any

import msgspec
import structlog

from chassis.postgres import Database
from darkroom_contracts.api.queues import Pause, PauseReply, ResumeReply
from operations.audit import log as audit
from operations.audit.log import Action
from operations.errors import NotFoundError
from operations.metrics import COUNT_AT_MOST
from operations.queues import store
from operations.queues.overview import Overview

log = structlog.get_logger()


class UnknownModelError(NotFoundError):
    """There is no such model."""

    def __init__(self, model: str) -> None:
        super().__init__(f"There is no model {model[:100]!r}; the list of queues shows all.")


class Pausing:
    """Pauses and resumes models. Workers obey with their next heartbeat."""

    def __init__(self, database: Database, overview: Overview) -> None:
        self._database = database
        self._overview = overview

    async def pause(self, actor: str, model: str, reason: str) -> PauseReply:
        """Pause a model, or change the reason of its pause. Raises UnknownModelError."""
        if not await self._overview.knows(model):
            raise UnknownModelError(model)
        async with self._database.transaction() as connection:
            before = await store.lock_pause(connection, model)
            pause = await store.pause_model(connection, model, actor, reason)
            await audit.record(
                connection, actor, Action.PAUSE, model, reason=reason, before=_kept(before), after=_kept(pause)
            )
        log.info("model paused", model=model, by=actor)
        within_hour, within_day = await self._count_expiring(model)
        return PauseReply(
            model=model,
            paused=pause,
            expiring_within_hour=within_hour,
            expiring_within_day=within_day,
            count_limit=COUNT_AT_MOST,
        )

    async def resume(self, actor: str, model: str) -> ResumeReply:
        """Resume a model; one that is not paused stays as it is. Raises UnknownModelError."""
        if not await self._overview.knows(model):
            raise UnknownModelError(model)
        async with self._database.transaction() as connection:
            before = await store.resume_model(connection, model)
            if before is not None:
                await audit.record(connection, actor, Action.RESUME, model, before=_kept(before))
                log.info("model resumed", model=model, by=actor)
        return ResumeReply(model, before is not None)

    async def _count_expiring(self, model: str) -> tuple[int, int]:
        async with self._database.index_walk() as connection:
            return await store.count_expiring(connection, model, COUNT_AT_MOST)


def _kept(pause: Pause | None) -> dict[str, Any] | None:
    """Return a pause as the audit log keeps it."""
    return None if pause is None else msgspec.structs.asdict(pause)
