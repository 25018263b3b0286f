"""Attempts that a failing GPU lost are refunded, as far as their jobs still wait for one."""

from uuid import UUID, uuid4

import pytest

from gpu_consumer.job.verdict import Claimed
from tests.integration.gpu_consumer.line import Line
from tests.integration.gpu_consumer.workshop import Workshop

LOSE = """
    INSERT INTO attempts (lease_token, job_id, generation, attempt, worker, ended_at, outcome, error)
    VALUES ($1, $2, $3, 1, 'anna', now(), $4, '{"code": "render_process_lost"}')
"""
FINISH = "UPDATE jobs SET status = 'canceled', completed_at = now() WHERE id = $1"


async def lost_attempt(shop: Workshop, job_id: UUID, generation: int = 1, outcome: str = "retried") -> UUID:
    """Add an attempt that lost its render process, and return its token."""
    token = uuid4()
    await shop.execute(LOSE, token, job_id, generation, outcome)
    return token


async def counted(shop: Workshop, job_id: UUID) -> tuple[int, int]:
    job = await shop.job(job_id)
    return job["attempt"], job["refunds"]


async def test_a_streak_is_refunded_together(line: Line) -> None:
    """Each waiting job has its attempts back, two where it lost two; the refund is not repeated."""
    shop = line.workshop
    one, other = [(await shop.add_job(attempt=attempt)).job_id for attempt in (1, 2)]
    tokens = [await lost_attempt(shop, job_id) for job_id in (one, other, other)]
    assert await line.app.sessions.refund(tokens) == 3
    assert await line.app.sessions.refund(tokens) == 0
    assert [await counted(shop, job_id) for job_id in (one, other)] == [(0, 1), (0, 2)]


@pytest.mark.parametrize("outcome", ["failed", "lost", "succeeded"])
async def test_only_what_was_tried_again_is_refunded(line: Line, outcome: str) -> None:
    """A token that names another end is passed over."""
    shop = line.workshop
    job_id = (await shop.add_job(attempt=1)).job_id
    assert await line.app.sessions.refund([await lost_attempt(shop, job_id, outcome=outcome)]) == 0
    assert await counted(shop, job_id) == (1, 0)


async def test_a_job_at_its_end_is_left_alone(line: Line) -> None:
    """Attempts of ended jobs, and of jobs that were replayed since, are not refunded."""
    shop = line.workshop
    ended, replayed = [(await shop.add_job(attempt=1, generation=number)).job_id for number in (1, 2)]
    await shop.execute(FINISH, ended)
    tokens = [await lost_attempt(shop, ended), await lost_attempt(shop, replayed)]
    assert await line.app.sessions.refund(tokens) == 0
    assert await counted(shop, ended) == await counted(shop, replayed) == (1, 0)


async def test_a_job_is_refunded_three_times_at_the_most(line: Line) -> None:
    """So that a job which is poison after all comes to its end."""
    shop = line.workshop
    job_id = (await shop.add_job(attempt=4)).job_id
    tokens = [await lost_attempt(shop, job_id) for _ in range(4)]
    assert await line.app.sessions.refund(tokens) == 3
    assert await counted(shop, job_id) == (1, 3)


async def test_a_refunded_loss_makes_no_job_poison(line: Line) -> None:
    """The claim counts the losses that were the job's own."""
    shop = line.workshop
    message = await shop.add_job(attempt=2)
    refunded, _ = [await lost_attempt(shop, message.job_id) for _ in range(2)]
    await line.app.sessions.refund([refunded])
    token = uuid4()
    for _ in range(2):  # the second time as a claim whose answer was lost
        claimed = await line.app.jobs.claim(message, token)
        assert isinstance(claimed, Claimed)
        assert claimed.process_losses == 1
