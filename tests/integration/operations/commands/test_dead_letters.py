from base64 import b64decode
from pathlib import Path

import msgspec
import pytest

from chassis.postgres import Database
from darkroom_contracts.messages import v2
from operations.letters.ingest import ingest
from tests.integration.operations.jobs import INPUT, Jobs, message
from tests.integration.operations.orphans import record_orphan
from tests.support.commands import darkroom
from tests.support.stack import MODEL_ENTRY


async def test_an_operator_lists_shows_and_replays(database: str, jobs: Jobs) -> None:
    """The commands list the letter, show its bytes, headers and attempts, and replay it once."""
    job_id = await jobs.dead()
    settings = {"DARKROOM_DATABASE_URL": database}
    [listed] = (await darkroom("dead-letters", "list", "--json", **settings)).json
    assert (listed["job_id"], listed["reason"]) == (str(job_id), "pipeline_error")
    shown = (await darkroom("dead-letters", "show", listed["id"], "--json", **settings)).json
    assert shown["body_text"].encode() == message(job_id)
    assert shown["error"]["stage"] == "render"
    assert [(a["attempt"], a["worker"], a["outcome"]) for a in shown["attempts"]] == [(1, "ansel", "failed")]
    replayed = (await darkroom("dead-letters", "replay", listed["id"], "--json", **settings)).json
    assert replayed == {"dead_letter_id": listed["id"], "job_id": str(job_id), "generation": 2}
    again = await darkroom("dead-letters", "replay", listed["id"], **settings)
    assert (again.exit_code, "replayed already" in again.err) == (1, True)
    assert (await jobs.value("SELECT actor FROM audit_log")).startswith("command:")


async def test_people_can_read_what_is_printed(database: str, pool: Database, jobs: Jobs) -> None:
    """Without --json every field is printed as text, ids in full, and control characters are replaced."""
    job_id = await jobs.dead()
    await ingest(pool, b"\x1b[31mred", {})
    settings = {"DARKROOM_DATABASE_URL": database}
    listed = await darkroom("dead-letters", "list", **settings)
    letter = await jobs.letter(job_id)
    shown = await darkroom("dead-letters", "show", str(letter["id"]), **settings)
    for text in (
        str(letter["id"]),
        letter["fingerprint"],
        "pipeline_error",
        "ansel",
        "The scheduler failed at step 7.",
    ):
        assert text in shown.out
    assert str(letter["id"]) in listed.out
    undecodable = await jobs.value("SELECT id FROM dead_letters WHERE kind = 'undecodable'")
    raw = await darkroom("dead-letters", "show", str(undecodable), **settings)
    assert "\x1b" not in listed.out + raw.out
    assert "[31mred" in raw.out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "There are no dead letters that are open."),
        (("--kind", "webhook"), "There are no dead letters of kind webhook that are open."),
        (("--status", "any"), "There are no dead letters."),
    ],
)
async def test_an_empty_list_is_a_sentence(database: str, options: tuple[str, ...], sentence: str) -> None:
    """An empty list is a sentence that says what was looked for."""
    finished = await darkroom("dead-letters", "list", *options, DARKROOM_DATABASE_URL=database)
    assert (finished.exit_code, finished.out) == (0, f"{sentence}\n")


async def test_an_operator_lists_shows_and_replays_a_webhook(database: str, jobs: Jobs) -> None:
    """The commands list the letter by its kind, show what the receiver answered, and replay it once."""
    await jobs.dead()
    letter = str(await jobs.given_up(await jobs.ended("succeeded"), response=b"\x1b[31mno \xe2\x80\xaeway"))
    settings = {"DARKROOM_DATABASE_URL": database}
    [listed] = (await darkroom("dead-letters", "list", "--kind", "webhook", "--json", **settings)).json
    assert (listed["id"], listed["reason"]) == (letter, "webhook_exhausted")
    shown = await darkroom("dead-letters", "show", letter, **settings)
    for text in (
        "job.succeeded",
        "https://example.com/hook",
        "(enabled)",
        "The receiver answered 500.",
        " 4.2 ",
        "way",
    ):
        assert text in shown.out
    assert all(char.isprintable() or char == "\n" for char in shown.out)
    whole = (await darkroom("dead-letters", "show", letter, "--json", **settings)).json
    assert b64decode(whole["delivery"]["attempts"][1]["response"]) == b"\x1b[31mno \xe2\x80\xaeway"
    first, second = [await darkroom("dead-letters", "replay", letter, **settings) for _ in range(2)]
    assert first.out == f"Delivery {whole['delivery_id']} is due again.\n"
    assert (second.exit_code, "replayed already" in second.err) == (1, True)


async def test_a_replay_says_that_its_endpoint_is_paused(database: str, jobs: Jobs) -> None:
    """Nothing is sent until somebody resumes it."""
    letter = str(await jobs.given_up(await jobs.ended("succeeded")))
    await jobs.execute("UPDATE webhook_endpoints SET status = 'paused'")
    finished = await darkroom("dead-letters", "replay", letter, DARKROOM_DATABASE_URL=database)
    assert finished.out.endswith("is due again, and waits until its endpoint is resumed.\n")


@pytest.fixture
def command_settings(database: str, tmp_path: Path) -> dict[str, str]:
    catalogue = tmp_path / "models.toml"
    catalogue.write_text(MODEL_ENTRY.format(name="tiny"))
    return {"DARKROOM_DATABASE_URL": database, "DARKROOM_MODELS_FILE": str(catalogue)}


async def test_an_operator_lists_shows_and_replays_an_orphan(
    pool: Database, jobs: Jobs, command_settings: dict[str, str]
) -> None:
    """The commands list the orphan by its kind, show its message, and replay it once."""
    letter = await record_orphan(pool, jobs)
    listed = await darkroom("dead-letters", "list", **command_settings)
    assert str(letter["id"]) in listed.out
    assert "orphan" in listed.out
    shown = await darkroom("dead-letters", "show", str(letter["id"]), **command_settings)
    assert "not in this database" in shown.out
    whole = (await darkroom("dead-letters", "show", str(letter["id"]), "--json", **command_settings)).json
    assert msgspec.json.decode(whole["body_text"], type=v2.Render).input == INPUT
    first, second = [await darkroom("dead-letters", "replay", str(letter["id"]), **command_settings) for _ in range(2)]
    assert first.out == f"Job {letter['job_id']} is queued again, as generation 2.\n"
    assert (second.exit_code, "replayed already" in second.err) == (1, True)


async def test_a_catalogue_that_is_missing_is_one_sentence(
    pool: Database, jobs: Jobs, command_settings: dict[str, str]
) -> None:
    """Without a catalogue the command fails with a sentence that names the file."""
    letter = await record_orphan(pool, jobs)
    nowhere = command_settings | {"DARKROOM_MODELS_FILE": "/nowhere/models.toml"}
    finished = await darkroom("dead-letters", "replay", str(letter["id"]), **nowhere)
    assert finished.exit_code == 1
    assert "/nowhere/models.toml can't be read" in finished.err
