import json
from datetime import UTC, datetime

from darkroom_contracts.api.dead_letter_groups import DeadLetterGroupList, DeadLetterGroupQuery
from tests.unit.client.answers import Script, reply
from tests.unit.client.letter_answers import AT, GROUP_ID, group, group_detail

PATH = "/v1/operations/dead-letter-groups"


def test_pages_are_requested_as_they_are_needed() -> None:
    """With the same query and the cursor of the page before."""
    script = Script(reply(DeadLetterGroupList([group()], AT, "one")), reply(DeadLetterGroupList([group()], AT)))
    found = script.client().dead_letter_groups.list(DeadLetterGroupQuery(model="tiny", limit=7))
    assert [each.id for each in found] == [GROUP_ID] * 2
    assert [dict(request.url.params) for request in script.requests] == [
        {"model": "tiny", "limit": "7"},
        {"model": "tiny", "limit": "7", "cursor": "one"},
    ]


def test_without_a_query_all_groups_come_in_large_pages() -> None:
    """As a program needs them."""
    script = Script(reply(DeadLetterGroupList([], AT)))
    assert list(script.client().dead_letter_groups.list()) == []
    assert dict(script.requests[0].url.params) == {"limit": "100"}


def test_a_group_is_shown_and_noted() -> None:
    """A note has a text and perhaps a time; without a text it is removed."""
    script = Script(reply(group_detail()), reply(group()), reply(group()))
    groups = script.client().dead_letter_groups
    assert groups.get(GROUP_ID).examined == 3
    groups.note(GROUP_ID, "the new driver", datetime(2027, 1, 1, tzinfo=UTC))
    groups.note(GROUP_ID, None)
    assert [(request.method, request.url.path) for request in script.requests] == [
        ("GET", f"{PATH}/{GROUP_ID}"),
        *[("PUT", f"{PATH}/{GROUP_ID}/note")] * 2,
    ]
    assert [json.loads(request.content) for request in script.requests[1:]] == [
        {"text": "the new driver", "known_until": "2027-01-01T00:00:00Z"},
        {"text": None, "known_until": None},
    ]
