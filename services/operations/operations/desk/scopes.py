"""Scopes of bulk acts: which open letters they are for."""

from uuid import UUID

from chassis.postgres import Connection
from darkroom_contracts.api.dead_letters import DeadLetter, LetterScope
from darkroom_contracts.states import LetterKind, LetterStatus
from operations.desk import store
from operations.desk.records import Criteria, Span, Step
from operations.desk.searching import criteria_of, window_of

TOO_OFTEN = 2
"""A letter with this number of earlier ones, of its job or delivery, is left out of bulk acts, unless it is named."""


async def walk(connection: Connection, scope: LetterScope, after: UUID, before: UUID, at_most: int) -> Step:
    """Look at the next letters between two ids, the oldest first, and return the open ones that are in the scope.

    Those that are named by their ids are in it whatever their status, so that an act can say why it is not for them.
    A walk goes on at `last`, in another process too, and ends at `before`: what came later is not in it.
    """
    criteria = await criteria_of(connection, scope)
    if criteria is None:
        return Step([], None)
    window = window_of(scope)
    span = Span(max(after, _before(window.since)), min(before, window.before))
    ids = await _next(connection, scope.ids, criteria, span, at_most)
    wanted = ids if scope.ids is None else [*({*ids} & {*scope.ids})]
    status = LetterStatus.OPEN if scope.ids is None else None
    found = await store.read_letters(connection, wanted, criteria, status, at_most)
    last = ids[-1] if len(ids) == at_most else None
    return Step(
        [each.id for each in reversed(found) if is_included(each, scope)],
        last,
        [each for each in reversed(found) if not is_included(each, scope)],
    )


async def _next(
    connection: Connection, ids: list[UUID] | None, criteria: Criteria, span: Span, at_most: int
) -> list[UUID]:
    """Return the next letters along the narrowest way. Others can be among them, and closed ones."""
    named = criteria.named or criteria.job_id
    if named is not None:
        return await store.scope_named(connection, named, span, at_most)
    if ids is not None:
        return sorted(each for each in {*ids} if span.after < each < span.before)[:at_most]
    if criteria.group_id is not None:
        return await store.scope_group(connection, criteria.group_id, span, at_most)
    if criteria.worker is not None:
        return await store.scope_worker(connection, criteria.worker, span, at_most)
    if criteria.tenant_id is not None:
        return await store.scope_tenant(connection, criteria.tenant_id, span, at_most)
    kinds = list(LetterKind) if criteria.kind is None else [criteria.kind]
    return await store.scope_kinds(connection, kinds, span, at_most)


def is_included(letter: DeadLetter, scope: LetterScope) -> bool:
    """Return whether a bulk act is for a letter that matches its scope."""
    if scope.ids is not None:
        return True
    return letter.returns < TOO_OFTEN and (letter.kind is not LetterKind.ORPHAN or scope.kind is not None)


def _before(bound: UUID) -> UUID:
    return UUID(int=max(bound.int - 1, 0))
