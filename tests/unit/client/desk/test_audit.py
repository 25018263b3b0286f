from datetime import timedelta
from itertools import islice

from darkroom_contracts.api.audit import AuditList
from tests.unit.client.answers import Script, reply
from tests.unit.client.desk_answers import AT, entry


def test_the_log_is_read_page_by_page() -> None:
    """The filters stay the same, and pages are requested as they are needed."""
    script = Script(reply(AuditList([entry(3), entry(2)], "next")), reply(AuditList([entry(1)])))
    found = script.client().audit.list(
        actor="command:ada", action="model.pause", subject="tiny", since=AT, until=AT + timedelta(hours=1)
    )
    assert [each.id for each in islice(found, 2)] == [3, 2]
    assert len(script.requests) == 1
    assert [each.id for each in found] == [1]
    first, second = (dict(request.url.params) for request in script.requests)
    assert first == {
        "actor": "command:ada",
        "action": "model.pause",
        "subject": "tiny",
        "created_after": "2026-11-21T12:00:00Z",
        "created_before": "2026-11-21T13:00:00Z",
        "limit": "200",
    }
    assert second == {**first, "cursor": "next"}
