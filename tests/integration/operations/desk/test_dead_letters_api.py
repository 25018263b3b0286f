"""Dead letters over HTTP: who may look, what is hidden, and hostile content."""

import base64
import json
from typing import Any
from uuid import UUID, uuid4

import httpx2
import msgspec
import pytest

from chassis.postgres import Database
from operations.letters.recording import DeadMessage, Ingested, ingest_all
from tests.integration.operations.desk_letters import DeskLetters
from tests.integration.operations.jobs import INPUT, Jobs, complete_message
from tests.support.ids import aged_id

LIST = "/v1/operations/dead-letters"
WHY = {"reason": "a tenant asked"}
SECRET = "PROMPT-OF-A-TENANT"
BIDI = "\u202egnp.exe\u2066"
ESCAPES = "\x1b]0;title\x07\x1b[2J\x9b1m"
HOSTILE = f"{ESCAPES}{BIDI}</script><img src=x onerror=alert(1)>"

BULK = """
    INSERT INTO replays (status, scope, created_by, reason, started_at, finished_at)
    VALUES ('finished', '{}', 'key', 'fixed', now(), now()) RETURNING id
"""
ITEM = """
    INSERT INTO replay_items (replay_id, position, letter_id, verdict, state, at)
    VALUES ($1, 1, $2, 'will replay', $3, now())
"""


async def secretive(jobs: Jobs) -> UUID:
    """Make a failed job whose input, metadata, URL, message and attempt hold a secret. Return its letter."""
    job_id = await jobs.queued(
        input=f"""'{{"prompt": "{SECRET}"}}'""",
        metadata=f"""'{{"note": "{SECRET}"}}'""",
        webhook_url=f"'https://example.com/{SECRET}'",
    )
    token = await jobs.claim(job_id, session=await jobs.session())
    await jobs.finish(job_id, token, "failed")
    letter_id: UUID = (await jobs.letter(job_id))["id"]
    body = complete_message(job_id, jobs.tenant, input=msgspec.structs.replace(INPUT, prompt=SECRET))
    await jobs.execute(
        "UPDATE dead_letters SET body = $2, headers = $3, x_death = $4 WHERE id = $1",
        letter_id,
        body,
        json.dumps({"note": SECRET}),
        json.dumps([{"reason": SECRET}]),
    )
    await jobs.execute(
        "UPDATE attempts SET error = error || $2 WHERE job_id = $1",
        job_id,
        json.dumps({"cause": SECRET, "last_lines": ["loading", SECRET]}),
    )
    return letter_id


async def test_what_is_hidden_comes_by_reveal_alone(
    jobs: Jobs, letters: DeskLetters, observer: httpx2.AsyncClient, operator: httpx2.AsyncClient
) -> None:
    """From an observer nothing of it, in no list, letter or export; from an operator with a reason, audited."""
    letter_id = await secretive(jobs)
    for path in (LIST, f"{LIST}/{letter_id}", f"{LIST}/export"):
        for client in (observer, operator):
            shown = await client.get(path)
            assert shown.status_code == 200
            assert str(letter_id) in shown.text
            assert SECRET not in shown.text
    assert (await observer.get(LIST, params={"text": SECRET})).json()["dead_letters"] == []
    exports = await letters.audit()
    assert {entry["action"] for entry in exports} == {"dead_letters.export", "dead_letters.export_end"}
    assert SECRET not in str(exports)
    revealed = (await operator.post(f"{LIST}/{letter_id}/reveal", json=WHY)).json()
    assert base64.b64decode(revealed["body"]) == (await letters.row(letter_id))["body"]
    assert revealed["text"].encode() == base64.b64decode(revealed["body"])
    assert revealed["message"]["input"]["prompt"] == SECRET
    assert (revealed["headers"], revealed["x_death"]) == ({"note": SECRET}, [{"reason": SECRET}])
    assert (revealed["input"]["prompt"], revealed["metadata"]["note"]) == (SECRET, SECRET)
    assert revealed["url"] == f"https://example.com/{SECRET}"
    [attempt] = revealed["attempts"]
    assert (attempt["cause"], attempt["last_lines"]) == (SECRET, ["loading", SECRET])
    *_, entry = await letters.audit()
    assert (entry["action"], entry["subject"], entry["reason"]) == ("dead_letter.reveal", str(letter_id), WHY["reason"])
    assert SECRET not in str(entry)


async def test_a_letter_with_its_attempts_and_acts(
    jobs: Jobs, observer: httpx2.AsyncClient, operator: httpx2.AsyncClient
) -> None:
    """The session that failed, the job as it is now, and who did what."""
    letter_id = await secretive(jobs)
    await operator.post(f"{LIST}/{letter_id}/reveal", json=WHY)
    for state in ("succeeded", "refused"):
        replay = await jobs.value(BULK)
        await jobs.execute(ITEM, replay, letter_id, state)
    shown = (await observer.get(f"{LIST}/{letter_id}")).json()
    assert (shown["job_status"], shown["job_generation"], shown["job_deleted"]) == ("failed", 1, False)
    [attempt] = shown["attempts"]
    assert (attempt["worker"], attempt["outcome"], attempt["error"]["code"]) == ("ansel", "failed", "pipeline_error")
    assert attempt["session_id"] is not None
    revealed, replayed = shown["acts"]
    assert (revealed["action"], revealed["reason"]) == ("dead_letter.reveal", WHY["reason"])
    assert (replayed["action"], replayed["actor"], replayed["reason"]) == ("dead_letter.replay", "key", "fixed")
    assert shown["body_bytes"] > 0


async def test_a_webhook_s_letter(jobs: Jobs, observer: httpx2.AsyncClient, operator: httpx2.AsyncClient) -> None:
    """Its delivery and attempts; the URL and the receiver's answers by reveal alone."""
    letter_id = await jobs.given_up(await jobs.ended("succeeded"), attempts=3, response=b"\xff\x1banswer")
    shown = await observer.get(f"{LIST}/{letter_id}")
    assert "example.com" not in shown.text
    delivery = shown.json()["delivery"]
    assert (delivery["status"], delivery["event"], delivery["attempts_made"]) == ("failed", "job.succeeded", 3)
    assert [each["number"] for each in delivery["attempts"]] == [1, 2, 3]
    assert delivery["attempts"][0]["status_code"] == 500
    revealed = (await operator.post(f"{LIST}/{letter_id}/reveal", json=WHY)).json()
    assert revealed["url"] == "https://example.com/hook"
    assert [base64.b64decode(each["response"]) for each in revealed["attempts"]] == [b"\xff\x1banswer"] * 3


async def test_a_hundred_looks_leave_a_letter_untouched(
    jobs: Jobs, letters: DeskLetters, observer: httpx2.AsyncClient, operator: httpx2.AsyncClient
) -> None:
    """Not a row is written, by any way of looking; a reveal writes its audit entry alone."""
    letter_id = await secretive(jobs)
    before = await letters.everything()
    for _ in range(25):
        for path in (LIST, f"{LIST}?text=scheduler&status=any", f"{LIST}/{letter_id}", f"{LIST}/export"):
            assert (await observer.get(path)).status_code == 200
    assert (await operator.post(f"{LIST}/{letter_id}/reveal", json=WHY)).status_code == 200
    assert await letters.everything() == before
    assert [entry["action"] for entry in await letters.audit() if "export" not in entry["action"]] == [
        "dead_letter.reveal"
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe\x00\x80 not UTF-8",
        HOSTILE.encode(),
        b"\x00" * 1_000_000,
        b'{"type":"darkroom.render.v2","job_id":"' + b"x" * 1_000_000,
        b'{"type":"' + HOSTILE.encode() + b'"}',
        b"[" * 200_000,
    ],
    ids=["not-utf-8", "escapes", "1-MB-of-NUL", "1-MB", "escapes-in-json", "nested"],
)
async def test_hostile_messages_are_shown_as_data(
    pool: Database, observer: httpx2.AsyncClient, operator: httpx2.AsyncClient, body: bytes
) -> None:
    """Exact bytes by reveal; no control character, as itself, in any response."""
    headers = {"x-death": [{"reason": HOSTILE, "queue": HOSTILE}], HOSTILE: HOSTILE, "deep": [[["\x00"]]]}
    assert await ingest_all(pool, [DeadMessage(body, headers)]) == [Ingested.UNDECODABLE]
    listed = await observer.get(LIST)
    [letter] = listed.json()["dead_letters"]
    detail = await observer.get(f"{LIST}/{letter['id']}")
    exported = await observer.get(f"{LIST}/export")
    revealed = await operator.post(f"{LIST}/{letter['id']}/reveal", json=WHY)
    assert base64.b64decode(revealed.json()["body"]) == body
    assert revealed.json()["headers"][HOSTILE] == HOSTILE
    assert len(listed.content) < 5000
    for response in (listed, detail, exported, revealed):
        assert response.headers["content-type"] in ("application/json", "application/x-ndjson")
        assert response.headers["cache-control"] == "no-store"
        assert not {*response.content} & {*range(0x20)} - {*b"\n"}


async def test_a_body_beyond_the_bound_is_cut(
    pool: Database, letters: DeskLetters, operator: httpx2.AsyncClient
) -> None:
    """The size says that it was."""
    await ingest_all(pool, [DeadMessage(b"x" * 5_000_000, {})])
    [row] = await letters.fetch("SELECT id FROM dead_letters")
    revealed = (await operator.post(f"{LIST}/{row['id']}/reveal", json=WHY)).json()
    assert len(base64.b64decode(revealed["body"])) == 4 * 1024 * 1024
    assert (revealed["body_bytes"], revealed["text"]) == (5_000_000, None)


async def test_forged_records_of_the_broker_change_no_job(pool: Database, jobs: Jobs) -> None:
    """An `x-death` without the limit, of another form, or of another tenant's message."""
    job_id = await jobs.queued()
    own, strange = await jobs.relayed(job_id), await jobs.relayed(job_id, tenant_id=uuid4())
    forged: list[dict[str, Any]] = [
        {"x-death": [{"reason": "rejected"}, {"reason": "delivery_limit"}]},
        {"x-death": {"reason": "delivery_limit"}},
        {"x-death": "delivery_limit"},
        {"x-death": [["delivery_limit"]]},
        {"x-first-death-reason": "delivery_limit"},
    ]
    for headers in forged:
        await ingest_all(pool, [DeadMessage(own, headers)])
    await ingest_all(pool, [DeadMessage(strange, {"x-death": [{"reason": "delivery_limit"}]})])
    assert await jobs.status(job_id) == "queued"


async def test_an_orphan_shows_its_claims_by_reveal(
    pool: Database, jobs: Jobs, observer: httpx2.AsyncClient, operator: httpx2.AsyncClient
) -> None:
    """What its message says of its job is hidden as another letter's is."""
    body = complete_message(aged_id(), jobs.tenant, input=msgspec.structs.replace(INPUT, prompt=SECRET + HOSTILE))
    await ingest_all(pool, [DeadMessage(body, {})])
    [letter] = (await observer.get(LIST, params={"kind": "orphan"})).json()["dead_letters"]
    shown = await observer.get(f"{LIST}/{letter['id']}")
    assert SECRET not in shown.text
    assert (shown.json()["tenant"], shown.json()["job_status"]) == ("default", None)
    revealed = await operator.post(f"{LIST}/{letter['id']}/reveal", json=WHY)
    assert revealed.json()["message"]["input"]["prompt"] == SECRET + HOSTILE
    assert "\x1b" not in revealed.text


async def test_acts_over_http(letters: DeskLetters, observer: httpx2.AsyncClient, operator: httpx2.AsyncClient) -> None:
    """Discard, restore and bulk discard, each with its refusals; an observer may do none of them."""
    [letter_id] = await letters.add(1, "undecodable")
    await letters.add(2, model="flux")
    acts: list[tuple[str, dict[str, Any]]] = [
        (f"{LIST}/{letter_id}/{act}", dict(WHY)) for act in ("discard", "restore", "reveal")
    ]
    acts.append((f"{LIST}/discard", {"scope": {"model": "flux"}, "count": 2, **WHY}))
    for path, body in acts:
        assert (await observer.post(path, json=body)).status_code == 403
        assert (await operator.post(path, json=body)).status_code == 200
        assert (await operator.post(path, json={"because": "x"})).json()["code"] == "invalid_request"
        for reason in ("", "x" * 1001, "a\x00b"):
            assert (await operator.post(path, json={**body, "reason": reason})).json()["code"] == "invalid_request"
    refused = await operator.post(f"{LIST}/discard", json={"scope": {"model": "flux"}, "count": 2, **WHY})
    assert (refused.status_code, refused.json()["code"]) == (409, "count_differs")
    assert "0 open" in refused.json()["detail"]
    assert (await operator.post(f"{LIST}/{letter_id}/restore", json=WHY)).json()["code"] == "conflict"
    for act in ("discard", "restore", "reveal"):
        assert (await operator.post(f"{LIST}/{uuid4()}/{act}", json=WHY)).json()["code"] == "not_found"
    assert (await operator.get(f"{LIST}/{uuid4()}")).status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        {"kind": "letter"},
        {"status": "closed"},
        {"limit": "201"},
        {"limit": "0"},
        {"cursor": "x"},
        {"group": "7"},
        {"job": "7"},
        {"created_after": "yesterday"},
        {"created_before": "2026-11-28T12:00:00"},
        {"text": ""},
        {"text": "x" * 201},
        {"model": "a\x00b"},
        {"prompt": "x"},
    ],
    ids=lambda query: "-".join(query),
)
async def test_a_wrong_query_is_refused(observer: httpx2.AsyncClient, query: dict[str, str]) -> None:
    """The problem names the parameter."""
    refused = await observer.get(LIST, params=query)
    assert (refused.status_code, refused.json()["field"]) == (422, *query)


async def test_an_export_is_every_page(letters: DeskLetters, observer: httpx2.AsyncClient) -> None:
    """A line for each letter, with the filters of the list."""
    ids = await letters.add(450)
    await letters.add(3, model="flux")
    exported = await observer.get(f"{LIST}/export", params={"model": "tiny"})
    assert exported.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["id"] for line in exported.text.splitlines()] == [str(each) for each in ids]
    assert (await observer.get(f"{LIST}/export", params={"model": "other"})).content == b""
    assert (await observer.get(f"{LIST}/export", params={"limit": "5"})).json()["field"] == "limit"
