"""Claiming: the bodies of deliveries are encoded at their first claim, and kept."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec
import structlog

from chassis.postgres import Connection
from webhooks.dispatch import letters, store
from webhooks.dispatch.body import UndecodableContentError, encode_body
from webhooks.dispatch.records import Delivery, Due, Place, Share
from webhooks.secrets import MasterKeys

log = structlog.get_logger()


class Terms(msgspec.Struct, frozen=True):
    """What a process claims deliveries with."""

    public_origin: str
    """Makes links absolute."""
    keys: MasterKeys
    lease: timedelta
    """Longer than sending and completing take together; a process that ended is noticed after this time."""


class Claimed(NamedTuple):
    """What a round claimed."""

    deliveries: list[Delivery]
    refused: int
    """Deliveries that ended, because they can't be encoded."""
    counts: Counter[Place]
    """All of these by destination."""


async def claim(connection: Connection, shares: Sequence[Share], terms: Terms) -> Claimed:
    """Claim due deliveries in the connection's transaction. Their attempts are logged with it."""
    due = await store.lock_due(connection, shares, terms.keys.ids)
    if new := {each.endpoint.id for each in due if each.endpoint.master_key is None}:
        await store.adopt_master_key(connection, sorted(new), terms.keys.primary)
    bodies = _encode(due, await _read_jobs(connection, due), terms.public_origin)
    refused = [each.id for each in due if each.id not in bodies]
    await _refuse(connection, refused)
    encoded = [each for each in due if each.id in bodies]
    counts = Counter((each.endpoint.id, each.recorded_origin) for each in due)
    return Claimed(await store.begin_attempts(connection, encoded, bodies, terms.lease), len(refused), counts)


async def _read_jobs(connection: Connection, due: Sequence[Due]) -> Mapping[UUID, bytes]:
    """Return the jobs of the deliveries whose content is their job's row."""
    without_content = [each.id for each in due if each.body is None and each.snapshot is None]
    return await store.read_jobs(connection, without_content) if without_content else {}


async def _refuse(connection: Connection, refused: Sequence[UUID]) -> None:
    if not refused:
        return
    log.error("webhook deliveries can't be encoded", count=len(refused), delivery_id=str(refused[0]))
    message = str(UndecodableContentError())
    await letters.bury(connection, await store.refuse(connection, refused, message), message)


def _encode(due: Sequence[Due], jobs: Mapping[UUID, bytes], public_origin: str) -> dict[UUID, bytes]:
    """Return the bodies of the deliveries that can be encoded."""
    bodies = {}
    for each in due:
        content = each.snapshot or jobs.get(each.id, b"")
        try:
            bodies[each.id] = each.body or encode_body(each.event, each.created_at, content, public_origin)
        except UndecodableContentError:
            continue
    return bodies
