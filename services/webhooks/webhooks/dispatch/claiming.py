"""Claiming: the bodies of deliveries are encoded at their first claim, and kept."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import structlog

from chassis.postgres import Connection
from webhooks.dispatch import store
from webhooks.dispatch.body import UndecodableSnapshotError, encode_body
from webhooks.dispatch.records import Delivery, Due, Share

log = structlog.get_logger()

LEASE = timedelta(seconds=60)
"""Longer than sending and completing take together; a process that ended is noticed after this time."""


class Claimed(NamedTuple):
    """What a round claimed."""

    deliveries: list[Delivery]
    refused: int
    """Deliveries that ended, because they can't be encoded."""


async def claim(connection: Connection, shares: Sequence[Share], public_origin: str, master_key: str) -> Claimed:
    """Claim due deliveries in the connection's transaction. Their attempts are logged with it."""
    due = await store.lock_due(connection, shares)
    if new := {each.endpoint.id for each in due if each.endpoint.master_key is None}:
        await store.adopt_master_key(connection, sorted(new), master_key)
    jobs = await store.read_jobs(connection, [each.id for each in due if each.body is None and each.snapshot is None])
    bodies = _encode(due, jobs, public_origin)
    if refused := [each.id for each in due if each.id not in bodies]:
        log.error("webhook deliveries can't be encoded", count=len(refused), delivery_id=str(refused[0]))
        await store.refuse(connection, refused, str(UndecodableSnapshotError()))
    encoded = [each for each in due if each.id in bodies]
    return Claimed(await store.begin_attempts(connection, encoded, bodies, LEASE), len(refused))


def _encode(due: Sequence[Due], jobs: Mapping[UUID, bytes], public_origin: str) -> dict[UUID, bytes]:
    """Return the bodies of the deliveries that can be encoded."""
    bodies = {}
    for each in due:
        snapshot = each.snapshot or jobs.get(each.id, b"")
        try:
            bodies[each.id] = each.body or encode_body(each.event, each.created_at, snapshot, public_origin)
        except UndecodableSnapshotError:
            continue
    return bodies
