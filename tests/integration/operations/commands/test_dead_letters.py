"""`darkroom dead-letters` of an operator who has a URL and a key, and no database."""

from base64 import b64decode

import msgspec
import pytest

from chassis.postgres import Database
from darkroom_contracts.messages import v2
from operations.audit.log import Action
from operations.letters.ingest import ingest
from tests.integration.operations.commands.desk import Desk
from tests.integration.operations.jobs import INPUT, Jobs, message
from tests.integration.operations.orphans import record_orphan
from tests.support.commands import darkroom

WHY = ("--reason", "a customer asked")


async def test_an_operator_lists_shows_reveals_and_replays(desk: Desk, jobs: Jobs) -> None:
    """The letter with its attempts, its message on request, and one replay; the audit log names the key."""
    job_id = await jobs.dead()
    [listed] = (await desk("dead-letters", "list", "--json")).json
    assert (listed["job_id"], listed["reason"]) == (str(job_id), "pipeline_error")
    shown = (await desk("dead-letters", "show", listed["id"], "--json")).json
    assert shown["error"]["stage"] == "render"
    assert [(a["attempt"], a["worker"], a["outcome"]) for a in shown["attempts"]] == [(1, "ansel", "failed")]
    revealed = (await desk("dead-letters", "reveal", listed["id"], *WHY, "--json")).json
    assert b64decode(revealed["body"]) == revealed["text"].encode() == message(job_id)
    replayed = (await desk("dead-letters", "replay", listed["id"], "--json")).json
    assert (replayed["dead_letter_id"], replayed["job_id"], replayed["generation"]) == (listed["id"], str(job_id), 2)
    again = await desk("dead-letters", "replay", listed["id"])
    assert (again.exit_code, "replayed already" in again.err) == (1, True)
    acts = await jobs.fetch("SELECT actor, action, reason FROM audit_log ORDER BY id")
    assert [tuple(act) for act in acts] == [
        (desk.operator.id, "dead_letter.reveal", "a customer asked"),
        (desk.operator.id, "dead_letter.replay", None),
    ]


async def test_people_can_read_what_is_printed(desk: Desk, pool: Database, jobs: Jobs) -> None:
    """Without --json every field is printed as text, ids in full, and control characters are replaced."""
    job_id = await jobs.dead()
    await ingest(pool, b"\x1b[31mred", {})
    listed = await desk("dead-letters", "list")
    letter = await jobs.letter(job_id)
    shown = await desk("dead-letters", "show", str(letter["id"]))
    for text in (
        str(letter["id"]),
        letter["fingerprint"],
        str(letter["group_id"]),
        "pipeline_error in stage render",
        "ansel",
        "The scheduler failed at step 7",
        f"{job_id} (failed in generation 1; now failed in generation 1)",
    ):
        assert text in shown.out
    assert str(letter["id"]) in listed.out
    undecodable = await jobs.value("SELECT id FROM dead_letters WHERE kind = 'undecodable'")
    raw = await desk("dead-letters", "reveal", str(undecodable), *WHY)
    assert "\x1b" not in listed.out + raw.out
    assert "[31mred" in raw.out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "There are no dead letters that are open."),
        (("--kind", "webhook"), "There are no dead letters of kind webhook that are open."),
        (("--status", "any"), "There are no dead letters."),
        (("--tenant", "nobody"), "There are no dead letters that are open and match."),
    ],
)
async def test_an_empty_list_is_a_sentence(desk: Desk, options: tuple[str, ...], sentence: str) -> None:
    """An empty list is a sentence that says what was looked for."""
    finished = await desk("dead-letters", "list", *options)
    assert (finished.exit_code, finished.out) == (0, f"{sentence}\n")


async def test_an_operator_lists_shows_reveals_and_replays_a_webhook(desk: Desk, jobs: Jobs) -> None:
    """The letter by its kind, what the receiver answered on request, and one replay."""
    await jobs.dead()
    letter = str(await jobs.given_up(await jobs.ended("succeeded"), response=b"\x1b[31mno \xe2\x80\xaeway"))
    [listed] = (await desk("dead-letters", "list", "--kind", "webhook", "--json")).json
    assert (listed["id"], listed["reason"]) == (letter, "webhook_exhausted")
    shown = await desk("dead-letters", "show", letter)
    for text in ("job.succeeded", "(enabled)", "The receiver answered 500.", "5.0 ms"):
        assert text in shown.out
    assert "https://example.com/hook" not in shown.out
    revealed = await desk("dead-letters", "reveal", letter, *WHY)
    assert "https://example.com/hook" in revealed.out
    assert "way" in revealed.out
    assert all(char.isprintable() or char == "\n" for char in shown.out + revealed.out)
    whole = (await desk("dead-letters", "reveal", letter, *WHY, "--json")).json
    assert b64decode(whole["attempts"][1]["response"]) == b"\x1b[31mno \xe2\x80\xaeway"
    first, second = [await desk("dead-letters", "replay", letter) for _ in range(2)]
    assert first.out == f"Delivery {listed['delivery_id']} is due again.\n"
    assert (second.exit_code, "replayed already" in second.err) == (1, True)


async def test_a_replay_says_that_its_endpoint_is_paused(desk: Desk, jobs: Jobs) -> None:
    """Nothing is sent until somebody resumes it."""
    letter = str(await jobs.given_up(await jobs.ended("succeeded")))
    await jobs.execute("UPDATE webhook_endpoints SET status = 'paused'")
    finished = await desk("dead-letters", "replay", letter)
    assert finished.out.endswith("is due again, and waits until its endpoint is resumed.\n")


async def test_an_operator_lists_shows_reveals_and_replays_an_orphan(desk: Desk, pool: Database, jobs: Jobs) -> None:
    """The orphan by its kind, its message on request, and one replay."""
    letter = await record_orphan(pool, jobs)
    listed = await desk("dead-letters", "list")
    assert str(letter["id"]) in listed.out
    assert "orphan" in listed.out
    shown = await desk("dead-letters", "show", str(letter["id"]))
    assert "not in this database" in shown.out
    revealed = (await desk("dead-letters", "reveal", str(letter["id"]), *WHY, "--json")).json
    assert msgspec.json.decode(revealed["text"], type=v2.Render).input == INPUT
    first, second = [await desk("dead-letters", "replay", str(letter["id"])) for _ in range(2)]
    assert first.out == f"Job {letter['job_id']} is queued again, as generation 2.\n"
    assert (second.exit_code, "replayed already" in second.err) == (1, True)


async def test_an_observer_looks_and_neither_acts_nor_reveals(desk: Desk, jobs: Jobs) -> None:
    """The refusal says which key is needed, and the letter stays as it is."""
    letter = str((await jobs.letter(await jobs.dead()))["id"])
    for command in ("list", "groups", "show", "export"):
        arguments = (letter,) if command == "show" else ()
        assert (await desk("dead-letters", command, *arguments, key=desk.observer)).exit_code == 0
    for command in ("reveal", "discard", "restore"):
        refused = await desk("dead-letters", command, letter, *WHY, key=desk.observer)
        assert (refused.exit_code, refused.out) == (1, "")
        assert "DARKROOM_OPERATOR_KEY must be an operator's" in refused.err
    acts = await jobs.fetch("SELECT DISTINCT action FROM audit_log ORDER BY action")
    assert [act["action"] for act in acts] == [Action.EXPORT, Action.END_EXPORT]


async def test_an_operator_discards_and_restores(desk: Desk, jobs: Jobs) -> None:
    """One by its id, and a group by its count; each can be opened again."""
    ids = [str((await jobs.letter(await jobs.dead()))["id"]) for _ in range(3)]
    group = str(await jobs.value("SELECT DISTINCT group_id FROM dead_letters"))
    await desk("dead-letters", "discard", ids[0], *WHY)
    assert await _open(jobs) == {*ids[1:]}
    unconfirmed = await desk("dead-letters", "discard", "--group", group, *WHY)
    assert (unconfirmed.exit_code, "--yes" in unconfirmed.err, await _open(jobs)) == (1, True, {*ids[1:]})
    done = await desk("dead-letters", "discard", "--group", group, *WHY, "--yes", "--json")
    assert (done.json["discarded"], done.err) == (2, "2 dead letters will be discarded.\n")
    assert await _open(jobs) == set()
    restored = await desk("dead-letters", "restore", *ids)
    assert (restored.exit_code, await _open(jobs)) == (0, {*ids})
    acts = await jobs.fetch("SELECT subject, reason FROM audit_log ORDER BY id")
    assert [tuple(act) for act in acts] == [
        (ids[0], "a customer asked"),
        ("scope", "a customer asked"),
        *((letter, "Restored from the command line.") for letter in ids),
    ]


async def test_an_operator_notes_what_is_known_of_a_group(desk: Desk, jobs: Jobs) -> None:
    """The note is shown beside the group, and can be removed."""
    await jobs.dead()
    [group] = (await desk("dead-letters", "groups", "--json")).json
    assert (group["open"], sum(group["hours"])) == (1, 1)
    written = await desk("dead-letters", "note", group["id"], "the new driver", "--known-until", "2h")
    assert "the new driver" in written.out
    assert "note: the new driver" in (await desk("dead-letters", "groups")).out
    one = await desk("dead-letters", "groups", group["id"])
    assert desk.operator.id in one.out
    assert one.err.count("darkroom dead-letters") == 4
    removed = await desk("dead-letters", "note", group["id"], "--remove")
    assert removed.out == f"Group {group['id']} has no note.\n"


async def test_a_terminal_without_unicode_gets_what_it_can_show(desk: Desk, jobs: Jobs) -> None:
    """Other characters are escaped; nothing fails for them."""
    await jobs.dead()
    environment = {"DARKROOM_URL": desk.url, "DARKROOM_OPERATOR_KEY": desk.operator.reveal()}
    listed = await darkroom("dead-letters", "groups", PYTHONIOENCODING="iso8859-5", **environment)
    assert (listed.exit_code, "\\xb7\\u2588" in listed.out) == (0, True), listed


async def test_an_export_is_the_list(desk: Desk, jobs: Jobs) -> None:
    """As JSON lines."""
    for _ in range(3):
        await jobs.dead()
    exported = await desk("dead-letters", "export")
    assert (
        list(map(msgspec.json.decode, exported.out.splitlines())) == (await desk("dead-letters", "list", "--json")).json
    )


async def _open(jobs: Jobs) -> set[str]:
    return {str(row["id"]) for row in await jobs.fetch("SELECT id FROM dead_letters WHERE status = 'open'")}
