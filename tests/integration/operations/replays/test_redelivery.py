"""The replay of webhook letters."""

import asyncio

import pytest

from chassis.postgres import Database
from darkroom_contracts.models import Catalogue
from operations.replays.outcome import Redelivered, ReplayRefusedError
from operations.replays.replay import replay
from tests.integration.operations.jobs import Jobs

ACTOR = "command:test"
DELIVERY = "SELECT * FROM webhook_deliveries"
LEASE = """
    UPDATE webhook_deliveries SET lease_token = gen_random_uuid(), lease_expires_at = now() + interval '1 minute',
        attempt = attempt + 1
"""
STANDING = """
    WITH endpoint AS (
        INSERT INTO webhook_endpoints (tenant_id, url) VALUES ($1, 'https://example.com/standing') RETURNING id
    )
    UPDATE webhook_deliveries SET endpoint_id = endpoint.id FROM endpoint
"""


def no_catalogue() -> Catalogue:
    raise AssertionError("only an orphan's job is held to the catalogue")


async def test_a_replay_makes_the_delivery_due(pool: Database, jobs: Jobs) -> None:
    """It keeps its id, body and attempts, and its schedule begins again; the replay has an audit entry."""
    letter = await jobs.given_up(await jobs.ended("succeeded"))
    [before] = await jobs.fetch(DELIVERY)
    replayed = await replay(pool, letter, ACTOR, no_catalogue)
    assert replayed == Redelivered(letter, before["id"], endpoint_paused=False)
    [after] = await jobs.fetch(DELIVERY)
    assert (after["status"], after["failures"], after["finished_at"]) == ("pending", 0, None)
    assert after["next_attempt_at"] >= before["finished_at"]
    assert after["scheduled_at"] > before["scheduled_at"]
    kept = ("id", "body", "attempt", "event", "url", "created_at", "dead_lettered")
    assert [after[column] for column in kept] == [before[column] for column in kept]
    assert await jobs.value("SELECT status FROM dead_letters WHERE id = $1", letter) == "replaying"
    [audit] = await jobs.fetch("SELECT actor, action, subject FROM audit_log")
    assert tuple(audit) == (ACTOR, "dead_letter.replay", str(letter))


async def test_replaying_twice_sends_once(pool: Database, jobs: Jobs) -> None:
    """The second replay is refused with the delivery's state, and changes nothing."""
    letter = await jobs.given_up(await jobs.ended("succeeded"))
    await replay(pool, letter, ACTOR, no_catalogue)
    [before] = await jobs.fetch(DELIVERY)
    with pytest.raises(ReplayRefusedError, match=f"replayed already: delivery {before['id']} is pending"):
        await replay(pool, letter, ACTOR, no_catalogue)
    assert await jobs.fetch(DELIVERY) == [before]
    assert await jobs.value("SELECT count(*) FROM audit_log") == 1


async def test_replaying_twice_at_once_sends_once(pool: Database, jobs: Jobs) -> None:
    """Of concurrent replays one makes the delivery due, and the others are refused."""
    letter = await jobs.given_up(await jobs.ended("succeeded"))
    results = await asyncio.gather(
        *(replay(pool, letter, ACTOR, no_catalogue) for _ in range(4)), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["Redelivered", *3 * ["ReplayRefusedError"]]
    assert await jobs.value("SELECT count(*) FROM audit_log") == 1


async def test_a_letter_whose_delivery_is_being_sent_is_refused(pool: Database, jobs: Jobs) -> None:
    """A redelivered one says so, and a letter that is open meanwhile is left alone."""
    letter = await jobs.given_up(await jobs.ended("succeeded"))
    await replay(pool, letter, ACTOR, no_catalogue)
    await jobs.execute(LEASE)
    with pytest.raises(ReplayRefusedError, match=r"replayed already: delivery .* is being sent"):
        await replay(pool, letter, ACTOR, no_catalogue)
    await jobs.execute("UPDATE dead_letters SET status = 'open'")
    with pytest.raises(ReplayRefusedError, match="in a minute"):
        await replay(pool, letter, ACTOR, no_catalogue)
    assert await jobs.value("SELECT status FROM dead_letters") == "open"


async def test_a_discarded_letter_is_refused(pool: Database, jobs: Jobs) -> None:
    """Only an open letter is replayed."""
    letter = await jobs.given_up(await jobs.ended("succeeded"))
    await jobs.execute("UPDATE dead_letters SET status = 'discarded', resolved_at = now()")
    with pytest.raises(ReplayRefusedError, match="discarded"):
        await replay(pool, letter, ACTOR, no_catalogue)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("deleted_at = now()", "its endpoint was deleted"),
        (
            "status = 'disabled', disabled_reason = 'The receiver is gone.'",
            "is disabled: The receiver is gone. It must",
        ),
    ],
)
async def test_an_endpoint_that_receives_nothing_is_a_reason(
    pool: Database, jobs: Jobs, change: str, reason: str
) -> None:
    """The delivery and its letter stay as they are."""
    letter = await jobs.given_up(await jobs.ended("succeeded"))
    await jobs.execute(STANDING, jobs.tenant)
    await jobs.execute(f"UPDATE webhook_endpoints SET {change} WHERE NOT implicit")
    with pytest.raises(ReplayRefusedError, match=reason):
        await replay(pool, letter, ACTOR, no_catalogue)
    assert await jobs.value("SELECT status FROM webhook_deliveries") == "failed"
    assert await jobs.value("SELECT status FROM dead_letters") == "open"


async def test_a_paused_endpoint_s_delivery_waits(pool: Database, jobs: Jobs) -> None:
    """It is due, and the operator learns that it waits."""
    letter = await jobs.given_up(await jobs.ended("succeeded"))
    await jobs.execute("UPDATE webhook_endpoints SET status = 'paused'")
    replayed = await replay(pool, letter, ACTOR, no_catalogue)
    assert isinstance(replayed, Redelivered)
    assert replayed.endpoint_paused


async def test_a_delivery_that_was_removed_is_a_reason(pool: Database, jobs: Jobs) -> None:
    """Retention keeps it as long as the letter is open, so that somebody else removed it."""
    letter = await jobs.given_up(await jobs.ended("succeeded"))
    await jobs.execute("DELETE FROM webhook_deliveries")
    with pytest.raises(ReplayRefusedError, match="removed because of its age"):
        await replay(pool, letter, ACTOR, no_catalogue)
