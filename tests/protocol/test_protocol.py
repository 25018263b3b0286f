"""The protocol holds, whatever happens in whatever order."""

import pytest

from tests.protocol.conftest import OpenStage
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
        play(stage, runs=180)
        # One seed is not quite one run: what two coroutines ask of a database may be answered in either order.
        for _ in range(MOST_ENCORES):
            if stage.seen.keys() >= EVERY_WAY:
                break
            play(stage, runs=30, repeatable=False)
    assert stage.steps > 10_000
    assert stage.seen.keys() >= EVERY_WAY


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_promise_holds_in_tens_of_thousands_of_random_steps(open_stage: OpenStage) -> None:
    """The same at length, with other events each time that it is run."""
    with open_stage() as stage:
        play(stage, runs=1000, repeatable=False)
    assert stage.steps > 20_000
    assert stage.seen.keys() >= EVERY_WAY
