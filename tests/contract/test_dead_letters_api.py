"""The bodies of dead letters: what is shown, and what is revealed alone."""

import msgspec
import pytest

from darkroom_contracts.api import Scope
from darkroom_contracts.api.dead_letters import (
    BulkDiscardRequest,
    DeadLetter,
    DeadLetterDetail,
    DeadLetterExportQuery,
    DeadLetterQuery,
    DeliveryState,
    FailedAttempt,
    FailedDelivery,
    LetterFilter,
    LetterScope,
    Revealed,
    RevealedAttempt,
)
from darkroom_contracts.routes.dead_letters import DEAD_LETTER_ROUTES

SHOWN = (DeadLetter, DeadLetterDetail, FailedAttempt, FailedDelivery, DeliveryState)


def fields(*types: type[msgspec.Struct]) -> set[str]:
    return {name for each in types for name in each.__struct_fields__}


def test_what_is_revealed_is_shown_nowhere_else() -> None:
    """No body of a list, of a letter or of an export has a field of what came from outside."""
    hidden = fields(Revealed, RevealedAttempt) - {"id", "body_bytes", "attempt", "attempts", "generation"}
    assert hidden == {
        "body", "text", "message", "headers", "x_death", "input", "overrides", "metadata", "url", "cause", "last_lines",
        "response",
    }  # fmt: skip
    assert hidden & fields(*SHOWN) == set()


def test_observers_read_and_operators_act() -> None:
    """Each route with a body is an operator's, and needs a reason."""
    for route in DEAD_LETTER_ROUTES:
        assert route.scope is (Scope.OPERATOR if route.request else Scope.OBSERVER)
        assert route.request is None or "reason" in fields(route.request)


def test_a_scope_has_the_filters_of_a_list() -> None:
    """And of an export; a list has pages beside them, a scope may name letters."""
    filters = fields(LetterFilter)
    assert fields(DeadLetterExportQuery) - filters == {"status"}
    assert fields(DeadLetterQuery) - filters == {"status", "limit", "cursor"}
    assert fields(LetterScope) - filters == {"ids"}


@pytest.mark.parametrize(
    "body",
    [
        {"reason": "x", "count": 1},
        {"scope": {"status": "open"}, "reason": "x"},
        {"scope": {"ids": []}, "reason": "x"},
        {"scope": {"ids": ["7"]}, "reason": "x"},
        {"scope": {"kind": "letter"}, "reason": "x"},
        {"scope": {"model": ""}, "reason": "x"},
        {"scope": {}, "reason": "x", "count": -1},
        {"scope": {}, "reason": "x", "force": True},
        {"scope": {}, "reason": ""},
    ],
)
def test_a_wrong_bulk_discard_is_refused(body: object) -> None:
    """Unknown fields, too, so that a misspelled filter never widens a scope."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(body, BulkDiscardRequest)
