from datetime import UTC, datetime, timedelta

import asyncpg
import httpx2

from operations.groups.folding import FoldGroups
from tests.integration.operations.groups.letters import add_letters
from tests.integration.operations.jobs import Jobs
from tests.support.declared import refusal

GROUPS = "/v1/operations/dead-letter-groups"


async def test_an_observer_looks_at_groups(observer: httpx2.AsyncClient, jobs: Jobs) -> None:
    """At the list, and at one with its suspects."""
    await jobs.dead()
    [group] = (await observer.get(GROUPS, params={"status": "open", "text": "scheduler failed"})).json()["groups"]
    assert (group["kind"], group["model"], group["open"], group["hours"][-1]) == ("job", "tiny", 1, 1)
    found = (await observer.get(f"{GROUPS}/{group['id']}")).json()
    assert found.items() >= group.items()
    [worker] = [suspect for suspect in found["suspects"] if suspect["kind"] == "worker"]
    assert (worker["value"], worker["letters"], worker["share"]) == ("ansel", 1, 1.0)
    assert refusal(await observer.put(f"{GROUPS}/{group['id']}/note", json={"text": "x"}))[:2] == (403, "forbidden")


async def test_an_operator_writes_a_note(
    operator: httpx2.AsyncClient, folder: FoldGroups, rows: asyncpg.Connection
) -> None:
    """It is on the group from then on, and the audit log has it."""
    [letter] = await add_letters(rows)
    await folder.run_once()
    known = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    path = f"{GROUPS}/{letter['group_id']}"
    noted = await operator.put(f"{path}/note", json={"text": "Known; a disk is full", "known_until": known})
    assert (noted.status_code, noted.json()["note"]["text"]) == (200, "Known; a disk is full")
    assert (await operator.get(path)).json()["note"] == noted.json()["note"]
    assert (await operator.put(f"{path}/note", json={"text": None})).json()["note"] is None
    assert await rows.fetchval("SELECT count(*) FROM audit_log WHERE action = 'group.note'") == 2


async def test_what_is_wrong_is_named(operator: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """A field, a parameter, or an id that no group has."""
    [letter] = await add_letters(rows)
    note = f"{GROUPS}/{letter['group_id']}/note"
    assert refusal(await operator.put(note, json={"text": "a\0b"})) == (422, "invalid_request", "text")
    assert refusal(await operator.put(note, json={"text": ""})) == (422, "invalid_request", "text")
    assert refusal(await operator.put(note, json={})) == (422, "invalid_request", "text")
    assert refusal(await operator.get(GROUPS, params={"cursor": "x"})) == (422, "invalid_request", "cursor")
    assert refusal(await operator.get(GROUPS, params={"kind": "parcel"})) == (422, "invalid_request", "kind")
    unknown = f"{GROUPS}/00000000-0000-0000-0000-000000000007"
    assert refusal(await operator.get(unknown))[:2] == (404, "not_found")
    assert refusal(await operator.put(f"{unknown}/note", json={"text": "x"}))[:2] == (404, "not_found")
