"""Lists and searches: pages of dead letters, each along an index for its narrowest filter."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple
from uuid import UUID

from chassis.cursor import NEWEST, next_cursor, position
from chassis.moments import first_id_at
from chassis.postgres import Connection, Database
from darkroom_contracts.api.dead_letters import DeadLetterList, DeadLetterQuery, LetterFilter
from darkroom_contracts.states import LetterKind, LetterStatus
from operations.desk import store
from operations.desk.records import Criteria, Window

LOOKED_AT = 1000
"""Most letters that a page looks at to find those that match a filter without an index."""
MOST_GROUPS = 1000
"""Most groups that a page merges. A filter that fits more of them is applied to the letters instead."""
MOST_ENTRIES = 50_000
"""Most index entries of a page that merges several groups."""
OLDEST = UUID(int=0)
ANY = "any"


class Way(NamedTuple):
    """How a page finds its letters."""

    walk: Callable[..., Awaitable[list[UUID]]]
    """One of the store's, which a connection, a window and a number of letters complete."""
    matches_all: bool = False
    """Whether each letter on the way matches, so that looking at one more than the page shows is enough."""
    keys: int = 1
    """How many ranges of an index are merged."""

    def looks_at(self, limit: int) -> int:
        """Return how many letters a page looks at."""
        return limit + 1 if self.matches_all else max(limit + 1, min(LOOKED_AT, MOST_ENTRIES // self.keys))


class Letters:
    """The use case of `list_dead_letters`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, query: DeadLetterQuery) -> DeadLetterList:
        """Return a page of the dead letters that match. Raises MalformedCursorError."""
        before = min(window_of(query).before, position(query.cursor))
        window = window_of(query)._replace(before=before)
        async with self._database.index_walk() as connection:
            criteria = await criteria_of(connection, query)
            if criteria is None:
                return DeadLetterList([])
            return await _page(connection, query, criteria, window)


async def _page(connection: Connection, query: DeadLetterQuery, criteria: Criteria, window: Window) -> DeadLetterList:
    status = None if query.status == ANY else query.status
    way = await _way(connection, criteria, status)
    at_most = way.looks_at(query.limit)
    ids = await way.walk(connection, window=window, at_most=at_most)
    found = await store.read_letters(connection, ids, criteria, status, query.limit)
    return DeadLetterList(found, next_cursor(ids, [each.id for each in found], query.limit, at_most))


async def criteria_of(connection: Connection, wanted: LetterFilter) -> Criteria | None:
    """Return the filter as statements take it, or None if it names a tenant that does not exist."""
    tenant_id = None if wanted.tenant is None else await store.find_tenant(connection, wanted.tenant)
    if wanted.tenant is not None and tenant_id is None:
        return None
    named = _uuid(wanted.text)
    return Criteria(
        kind=wanted.kind,
        model=wanted.model,
        tenant_id=tenant_id,
        reason=wanted.reason,
        fingerprint=wanted.fingerprint,
        group_id=wanted.group,
        worker=wanted.worker,
        job_id=wanted.job,
        text=None if named else wanted.text,
        named=named,
    )


def window_of(wanted: LetterFilter) -> Window:
    """Return the ids that a filter's times allow: ids are times."""
    since = OLDEST if wanted.created_after is None else first_id_at(wanted.created_after)
    return Window(since, NEWEST if wanted.created_before is None else first_id_at(wanted.created_before))


async def _way(connection: Connection, criteria: Criteria, status: str | None) -> Way:
    only_open = status == LetterStatus.OPEN
    if criteria.named is not None:
        return Way(partial(store.walk_named, named=criteria.named))
    if criteria.job_id is not None:
        return Way(partial(store.walk_job, job_id=criteria.job_id))
    if (groups := await _groups(connection, criteria)) is not None:
        matches_all = _is_of_groups(criteria) and status in (None, LetterStatus.OPEN)
        return Way(partial(store.walk_groups, groups=groups, only_open=only_open), matches_all, len(groups) or 1)
    if criteria.worker is not None:
        return Way(partial(store.walk_worker, worker=criteria.worker))
    if criteria.tenant_id is not None:
        return Way(
            partial(store.walk_tenant, tenant_id=criteria.tenant_id),
            criteria == Criteria(tenant_id=criteria.tenant_id) and not status,
        )
    kinds = list(LetterKind) if criteria.kind is None else [criteria.kind]
    matches_all = criteria == Criteria(kind=criteria.kind) and status in (None, LetterStatus.OPEN)
    return Way(partial(store.walk_kinds, kinds=kinds, only_open=only_open), matches_all, len(kinds))


async def _groups(connection: Connection, criteria: Criteria) -> list[UUID] | None:
    """Return the groups that a filter means, or None if it means none in particular, or too many."""
    if criteria.group_id is not None:
        return [criteria.group_id]
    if (criteria.model, criteria.reason, criteria.fingerprint, criteria.text) == (None, None, None, None):
        return None
    found = await store.find_groups(connection, criteria, MOST_GROUPS + 1)
    return found if len(found) <= MOST_GROUPS else None


def _is_of_groups(criteria: Criteria) -> bool:
    """Return whether all letters of a group match alike."""
    return (criteria.tenant_id, criteria.worker, criteria.text) == (None, None, None)


def _uuid(text: str | None) -> UUID | None:
    """Return the id that a text is, in the form with hyphens."""
    if text is None or len(text) != 36:
        return None
    try:
        return UUID(text)
    except ValueError:
        return None
