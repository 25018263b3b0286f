import json

import httpx2
import msgspec
import pytest

from darkroom.errors import ApiError, CutOffError, UnreachableError
from darkroom_contracts.api.dead_letters import (
    BulkDiscardReply,
    DeadLetterExportQuery,
    DeadLetterList,
    DeadLetterQuery,
    LetterScope,
    Revealed,
)
from tests.unit.client.answers import Script, problem, reply
from tests.unit.client.letter_answers import LETTER_ID, detail, letter

PATH = "/v1/operations/dead-letters"
SCOPE = LetterScope(model="tiny")


def test_pages_are_requested_as_they_are_needed() -> None:
    """With the same query and the cursor of the page before; an empty page is not the end."""
    pages = [
        reply(DeadLetterList([letter()], "one")),
        reply(DeadLetterList([], "two")),
        reply(DeadLetterList([letter()])),
    ]
    script = Script(*pages)
    found = script.client().dead_letters.list(DeadLetterQuery(model="tiny", limit=7))
    assert script.requests == []
    assert [each.id for each in found] == [LETTER_ID] * 2
    queries = [dict(request.url.params) for request in script.requests]
    assert [query.get("cursor") for query in queries] == [None, "one", "two"]
    assert {(query["model"], query["limit"], query["status"]) for query in queries} == {("tiny", "7", "open")}


def test_without_a_query_open_letters_come_in_large_pages() -> None:
    """As a program needs them."""
    script = Script(reply(DeadLetterList([])))
    assert list(script.client().dead_letters.list()) == []
    assert dict(script.requests[0].url.params) == {"status": "open", "limit": "200"}


def test_one_letter_is_shown_revealed_discarded_and_restored() -> None:
    """Each by its own request; acts have a reason."""
    script = Script(reply(detail()), reply(Revealed(id=LETTER_ID)), reply(letter()), reply(letter()))
    letters = script.client().dead_letters
    letters.get(LETTER_ID)
    letters.reveal(LETTER_ID, "why")
    letters.discard(LETTER_ID, "why")
    letters.restore(LETTER_ID, "why")
    assert [(request.method, request.url.path) for request in script.requests] == [
        ("GET", f"{PATH}/{LETTER_ID}"),
        *(("POST", f"{PATH}/{LETTER_ID}/{act}") for act in ("reveal", "discard", "restore")),
    ]
    assert [json.loads(request.content) for request in script.requests[1:]] == [{"reason": "why"}] * 3


def test_a_bulk_discard_is_counted_and_then_confirmed() -> None:
    """The count is repeated after a lost response; the discard is not, since it could be about others then."""
    counted = BulkDiscardReply(count=2, discarded=0, remaining=2, left_out=0)
    script = Script(httpx2.ReadError("reset"), reply(counted), httpx2.ReadError("reset"))
    letters = script.client().dead_letters
    assert letters.count_discards(SCOPE, "why") == counted
    with pytest.raises(UnreachableError, match="look before repeating"):
        letters.discard_all(SCOPE, "why", 2)
    dry, _, real = (json.loads(request.content) for request in script.requests)
    assert (dry["dry_run"], dry["count"], real["dry_run"], real["count"]) == (True, None, False, 2)


def test_an_export_yields_lines_until_it_breaks_off() -> None:
    """What was yielded is complete."""
    line = msgspec.json.encode(letter())
    script = Script(httpx2.Response(200, content=line + b"\n" + line[:9]))
    lines = script.client().dead_letters.export(DeadLetterExportQuery(status="any"))
    assert next(lines) == line
    with pytest.raises(CutOffError, match="within a line"):
        next(lines)
    assert (script.requests[0].url.path, script.requests[0].url.params["status"]) == (f"{PATH}/export", "any")


def test_an_export_that_is_refused_is_an_error() -> None:
    """As of any request."""
    script = Script(problem(403, "forbidden", "The key's scope is client."))
    with pytest.raises(ApiError, match="scope is client"):
        next(script.client().dead_letters.export())
