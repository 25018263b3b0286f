"""The protocol holds, whatever happens in whatever order."""

import pytest

from tests.protocol.conftest import OpenStage
from tests.protocol.openings import EVERY_OPENING, PARKED_AND_NOTED, PARKED_AND_PUBLISHED_AGAIN, Opening
from tests.protocol.playing import play

EVERY_WAY = {
    "None -> queued",
    "queued -> running",
    "queued -> canceled",
    "queued -> expired",
    "queued -> failed",
    "running -> queued",
    "running -> succeeded",
    "running -> failed",
    "running -> canceled",
    "running -> expired",
    "failed -> queued",
    "attempt succeeded",
    "attempt failed",
    "attempt canceled",
    "attempt retried",
    "attempt released",
    "attempt lost",
    "ingest completed",
    "ingest failed",
    "ingest undecodable",
    "ingest dropped",
    "attempt expired",
    "ingest orphaned",
    "orphan rejected",
    "orphan delivery_limit",
    "orphan buried",
    "orphan replayed",
    "stale write",
    "rendered claim",
    "claim while rendering",
    "orphan's key taken",
    "lost claim",
    "failure of another's",
    "deadline reached",
    "park",
    "empty queue",
    "overtaken",
    "republish",
    "pause",
    "purge",
    "delete",
    "replay before delete",
    "delete before replay",
    "forgotten",
    "claim ahead",
    "refund of what had not begun",
    "refund of a streak",
}
"""Every transition, every end of an attempt, every row of the ingest, and all that the world did to them.

A run that misses one proves too little.
"""

MOST_ENCORES = 5


@pytest.mark.timeout(600)
def test_every_promise_holds_after_every_step(open_stage: OpenStage) -> None:
    """Through thousands of steps nothing accepted is lost, nothing ends twice, and nothing stale is written."""
    with open_stage() as stage:
        play(stage, runs=150)
        for opening in EVERY_OPENING:
            play(stage, runs=2, opening=opening)
        # One seed is not quite one run: what two coroutines ask of a database may be answered in either order.
        for _ in range(MOST_ENCORES):
            if stage.reached >= EVERY_WAY:
                break
            play(stage, runs=30, repeatable=False)
    assert stage.steps > 10_000
    assert stage.reached >= EVERY_WAY


@pytest.mark.parametrize("opening", [PARKED_AND_NOTED, PARKED_AND_PUBLISHED_AGAIN])
def test_a_parked_message_may_be_taken_for_lost_until_its_job_says_where_it_waits(
    open_stage: OpenStage, opening: Opening
) -> None:
    """One needless message is possible between a park and its note, and harmless; after the note there is none."""
    with open_stage() as stage:
        play(stage, runs=5, opening=opening)
    assert stage.seen["park"] >= 5


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_promise_holds_in_tens_of_thousands_of_random_steps(open_stage: OpenStage) -> None:
    """The same at length, with other events each time that it is run, and after each opening."""
    with open_stage() as stage:
        play(stage, runs=880, repeatable=False)
        for opening in EVERY_OPENING:
            play(stage, runs=10, opening=opening, repeatable=False)
    assert stage.steps > 20_000
    assert stage.reached >= EVERY_WAY
