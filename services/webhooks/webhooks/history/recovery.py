"""Sending an endpoint's deliveries again, all those since a moment."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID

import structlog

from chassis.auth import Caller
from chassis.decoding import invalid
from chassis.errors import DatabaseError
from chassis.moments import first_id_at, moment_of
from chassis.postgres import Connection, Database
from darkroom_contracts.api.webhook_deliveries import MAX_RECOVERED, RecoverReply, RecoverRequest
from darkroom_contracts.states import EndpointStatus
from webhooks import metrics
from webhooks.history import store
from webhooks.history.problems import EndpointInactiveError
from webhooks.registry.allowances import Act, Allowances
from webhooks.registry.lookup import find_endpoint

log = structlog.get_logger()

BATCH = 500
"""Deliveries of a transaction."""
SECONDS = 10.0
"""Time after which no further transaction begins: a request is answered well before the edge stops waiting."""

_Walk: TypeAlias = Callable[[Connection, UUID, UUID, int], Awaitable[list[UUID]]]


class _Progress(NamedTuple):
    """How far a recovery is."""

    redelivered: int
    position: UUID | None
    """Lower bound of the ids that follow; None at the end."""


class Recovery:
    """The use case of `recover_endpoint`."""

    def __init__(
        self, database: Database, allowances: Allowances, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._allowances = allowances
        self._clock = clock

    async def __call__(self, caller: Caller, reference: str, request: RecoverRequest) -> RecoverReply:
        """Make deliveries of an endpoint, by id or `implicit`, due, in transactions of BATCH, the oldest first.

        A request that ends early, since there are too many or the database failed after the first transaction, says
        where the next one begins. Raises ProblemError: 404 for an unknown endpoint, 409 for a disabled one, 422 for a
        moment in the future, 429. Raises what `Database.transaction` raises before anything was done.
        """
        if request.since > datetime.now(UTC):
            raise invalid("since", "lies in the future; send the moment since which deliveries are missing")
        walk = store.following if request.include == "all" else store.following_undelivered
        endpoint_id, oldest = await self._begin(caller, reference)
        done = await self._recover(endpoint_id, walk, first_id_at(request.since))
        metrics.REDELIVERIES.labels("recovery").inc(done.redelivered)
        log.info(
            "deliveries are sent again",
            endpoint_id=str(endpoint_id),
            count=done.redelivered,
            key_id=caller.key_id,
        )
        return RecoverReply(
            redelivered=done.redelivered,
            next_since=moment_of(done.position) if done.position else None,
            kept_since=moment_of(oldest) if oldest else None,
        )

    async def _begin(self, caller: Caller, reference: str) -> tuple[UUID, UUID | None]:
        """Count the request. Return the endpoint's id and its oldest delivery."""
        async with self._database.transaction() as connection:
            endpoint = await find_endpoint(connection, caller, reference)
            if endpoint.status is EndpointStatus.DISABLED:
                raise EndpointInactiveError
            await self._allowances.spend(connection, caller.tenant_id, Act.RECOVER)
            return endpoint.id, await store.oldest_delivery(connection, endpoint.id)

    async def _recover(self, endpoint_id: UUID, walk: _Walk, first: UUID) -> _Progress:
        end = self._clock() + SECONDS
        done = _Progress(0, first)
        for number in range(MAX_RECOVERED // BATCH):
            if done.position is None or self._clock() > end:
                break
            try:
                done = await self._redeliver_batch(endpoint_id, walk, done.redelivered, done.position)
            except DatabaseError as error:
                if not number:
                    raise
                log.warning("recovery ended early", endpoint_id=str(endpoint_id), error=str(error))
                break
        return done

    async def _redeliver_batch(self, endpoint_id: UUID, walk: _Walk, redelivered: int, position: UUID) -> _Progress:
        async with self._database.transaction() as connection:
            ids = await walk(connection, endpoint_id, position, BATCH + 1)
            count = await store.redeliver_ended(connection, ids[:BATCH])
        return _Progress(redelivered + count, ids[BATCH] if len(ids) > BATCH else None)
