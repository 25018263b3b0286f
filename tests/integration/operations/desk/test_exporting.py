"""Exports are in the audit log, however they end."""

import asyncio
import json
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest

from chassis.postgres import Database
from darkroom_contracts.api import Scope
from darkroom_contracts.api.dead_letters import MAX_LETTERS, DeadLetterExportQuery, DeadLetterList, DeadLetterQuery
from operations.desk.exporting import Export
from operations.desk.searching import Letters
from tests.integration.operations.desk_letters import DeskLetters
from tests.integration.operations.http_api import open_api, served
from tests.support.keys import insert_key
from tests.support.waiting import eventually

EXPORT = "/v1/operations/dead-letters/export"


async def ends(letters: DeskLetters) -> list[Any]:
    """Return what the audit log has of exports that ended."""
    return [
        json.loads(entry["after"]) for entry in await letters.audit() if entry["action"] == "dead_letters.export_end"
    ]


async def test_an_export_is_audited_at_its_start_and_its_end(pool: Database, letters: DeskLetters) -> None:
    """Who, with which filters, and how many lines; both entries name one export."""
    await letters.add(MAX_LETTERS + 1)
    query = DeadLetterExportQuery(model="tiny", status="any")
    chunks = Export(pool)("a key", query)
    await anext(chunks)
    [begun] = await letters.audit()
    assert (begun["actor"], begun["action"]) == ("a key", "dead_letters.export")
    assert json.loads(begun["after"]) == {"filter": {"model": "tiny", "status": "any"}}
    assert len([chunk async for chunk in chunks]) == 1
    _, ended = await letters.audit()
    assert (ended["actor"], ended["subject"]) == ("a key", begun["subject"])
    assert UUID(ended["subject"])
    assert await ends(letters) == [{"lines": MAX_LETTERS + 1, "complete": True}]


async def test_an_export_of_nothing_is_audited(pool: Database, letters: DeskLetters) -> None:
    """It may have been a question, too."""
    assert [chunk async for chunk in Export(pool)("a key", DeadLetterExportQuery(model="other"))] == []
    assert await ends(letters) == [{"lines": 0, "complete": True}]


async def test_a_refused_export_is_not_audited(letters: DeskLetters, observer: httpx2.AsyncClient) -> None:
    """Nothing was exported."""
    assert (await observer.get(EXPORT, params={"created_after": "soon"})).status_code == 422
    assert await letters.audit() == []


async def test_an_export_that_is_left_is_audited_as_far_as_it_came(pool: Database, letters: DeskLetters) -> None:
    """Closed between two chunks."""
    await letters.add(MAX_LETTERS + 1)
    chunks = Export(pool)("a key", DeadLetterExportQuery())
    await anext(chunks)
    await chunks.aclose()
    assert await ends(letters) == [{"lines": MAX_LETTERS, "complete": False}]


async def test_a_client_that_goes_is_audited(
    database: str, rows: asyncpg.Connection, letters: DeskLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its request is canceled, here while the next page is read."""
    await letters.add(MAX_LETTERS + 1)
    read_page = Letters.page

    async def hang_after_the_first(self: Letters, query: DeadLetterQuery) -> DeadLetterList:
        if query.cursor is not None:
            await asyncio.Event().wait()
        return await read_page(self, query)

    monkeypatch.setattr(Letters, "page", hang_after_the_first)
    key = await insert_key(rows, scope=Scope.OBSERVER)
    async with open_api(database, rows) as api, served(api.app.http) as url:
        headers = {"Authorization": f"Bearer {key.reveal()}"}
        async with (
            httpx2.AsyncClient(base_url=url, headers=headers, trust_env=False) as client,
            client.stream("GET", EXPORT) as response,
        ):
            await anext(response.aiter_lines())

        async def audited() -> bool:
            return await ends(letters) == [{"lines": MAX_LETTERS, "complete": False}]

        await eventually(audited, what="the export is audited")
