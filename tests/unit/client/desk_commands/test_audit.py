import json

from darkroom_contracts.api.audit import AuditList
from tests.unit.client.answers import Script, reply
from tests.unit.client.desk_answers import HOSTILE, entry
from tests.unit.client.desk_commands.runner import Desk


def test_each_act_has_a_line(desk: Desk) -> None:
    """When, who by name and id, what, on what, why; a command has no name beside its id."""
    acts = [entry(2), entry(1, actor="command:ada", actor_name=None, reason=None)]
    heading, first, second = desk.run(Script(reply(AuditList(acts))), "audit").stdout.splitlines()
    assert heading.split() == ["at", "actor", "action", "subject", "reason"]
    assert first == "2026-11-21 12:00:00Z  Ada's laptop (oP3rat0r0001)  model.pause  tiny     new weights"
    assert second.split() == ["2026-11-21", "12:00:00Z", "command:ada", "model.pause", "tiny"]


def test_changes_are_shown_field_by_field(desk: Desk) -> None:
    """What was, and what is, or what was made; only when asked for."""
    acts = AuditList([entry(before={"status": "active", "was": [1]}, after={"status": "revoked", "is": None})])
    assert len(desk.run(Script(reply(acts)), "audit").stdout.splitlines()) == 2
    lines = desk.run(Script(reply(acts)), "audit", "--changes").stdout.splitlines()[2:]
    assert lines == ['  status: "active" -> "revoked"', "  was: [1] -> -", "  is: - -> null"]
    made = AuditList([entry(after={"name": "shop", "expires_at": None})])
    lines = desk.run(Script(reply(made)), "audit", "--changes").stdout.splitlines()[2:]
    assert lines == ['  name: "shop"']


def test_every_filter_reaches_the_request(desk: Desk) -> None:
    """Times are moments or durations; nothing found says what to do."""
    script = Script(reply(AuditList([])))
    times = ("--since", "2026-11-21T12:00Z", "--until", "2026-11-22T12:00Z")
    filters = ("--actor", "command:ada", "--action", "key.revoke", "--subject", "tiny")
    result = desk.run(script, "audit", *filters, *times)
    assert result.stdout == "There are no such acts; without filters `darkroom audit` shows the latest.\n"
    assert dict(script.requests[0].url.params) == {
        "actor": "command:ada",
        "action": "key.revoke",
        "subject": "tiny",
        "created_after": "2026-11-21T12:00:00Z",
        "created_before": "2026-11-22T12:00:00Z",
        "limit": "200",
    }


def test_pages_are_requested_until_the_limit_and_no_further(desk: Desk) -> None:
    """Programs get a list; people see that there are more."""
    pages = [reply(AuditList([entry()] * 200, "next")) for _ in range(2)]
    assert len(json.loads(desk.run(Script(*pages), "audit", "--limit", 250, "--json").stdout)) == 250
    more = desk.run(Script(reply(AuditList([entry()] * 2))), "audit", "--limit", 1)
    assert more.stderr == "These are the newest 1; --limit shows more, filters show fewer.\n"


def test_nothing_from_outside_reaches_the_terminal_raw(desk: Desk) -> None:
    """Reasons, subjects and what changed were written by others."""
    hostile = entry(reason=HOSTILE, subject=HOSTILE, actor_name=HOSTILE, after={HOSTILE: HOSTILE})
    shown = desk.run(Script(reply(AuditList([hostile]))), "audit", "--changes").stdout
    assert not set(shown) & {"\x1b", "\u202e", "\x07"}
