"""How the queues stand, as operators see them."""

import asyncio
from datetime import timedelta

import pytest

from chassis.postgres import Database
from darkroom_contracts.topology import DEAD_QUEUE, work_queue
from operations.queues import sampling
from operations.queues.records import Depth
from operations.queues.sampling import FRESH_SECONDS
from tests.integration.operations.jobs import Jobs
from tests.integration.operations.queues.stand import LANES, MODELS, Stand

AGE = timedelta(minutes=5)


@pytest.fixture
def stand(pool: Database) -> Stand:
    return Stand(pool)


async def test_an_idle_stack_shows_all_its_models(stand: Stand) -> None:
    """Every model of the catalogue and every lane is listed, with zeros."""
    shown = await stand.overview.show()
    assert [(queue.model, queue.queued, queue.in_flight, queue.workers) for queue in shown.queues] == [
        (model, 0, 0, 0) for model in MODELS
    ]
    assert all(queue.oldest_queued_at is None and queue.paused is None for queue in shown.queues)
    assert [lane.name for lane in shown.lanes] == [lane.queue for lane in LANES]
    assert (shown.outbox.messages, shown.outbox.overdue_seconds) == (0, 0)


async def test_jobs_are_counted_by_model(stand: Stand, jobs: Jobs) -> None:
    """Waiting and running jobs, the oldest of them, open sessions, and the outbox; other models' too."""
    oldest = await jobs.queued(AGE)
    await jobs.queued()
    await jobs.running()
    await jobs.dead()
    await jobs.queued(model="'retired'")
    await jobs.session()
    await jobs.execute(
        "INSERT INTO outbox (job_id, generation, model) SELECT id, 1, model FROM jobs WHERE id = $1", oldest
    )
    shown = await stand.overview.show()
    queues = {queue.model: queue for queue in shown.queues}
    tiny = queues["tiny"]
    assert list(queues) == ["retired", "shapes", "tiny"]
    assert (tiny.queued, tiny.in_flight, tiny.workers, queues["retired"].queued) == (2, 1, 1, 1)
    assert tiny.oldest_queued_at == (await jobs.row(oldest))["queued_at"]
    assert shown.outbox.messages == 1


async def test_one_model_can_be_asked_for(stand: Stand) -> None:
    """The filter leaves the other queues out."""
    assert [queue.model for queue in (await stand.overview.show("tiny")).queues] == ["tiny"]
    assert (await stand.overview.show("nothing")).queues == ()


async def test_depths_are_those_of_rabbitmq(stand: Stand) -> None:
    """Each queue has its own; one that RabbitMQ does not have is unknown."""
    stand.depths.known = {work_queue("tiny"): Depth(3, 1, 0), LANES.rungs[0][0].queue: Depth(2), DEAD_QUEUE: Depth(7)}
    shown = await stand.overview.show()
    tiny, shapes = (next(queue for queue in shown.queues if queue.model == model) for model in ("tiny", "shapes"))
    assert (tiny.broker.ready, tiny.broker.unacknowledged, tiny.broker.dead_lettering) == (3, 1, 0)
    assert (shapes.broker.ready, shown.dead_letter_queue.ready, shown.lanes[0].ready) == (None, 7, 2)


async def test_without_rabbitmq_the_rest_is_shown(stand: Stand, jobs: Jobs) -> None:
    """Depths are unknown then, jobs are not."""
    await jobs.queued()
    stand.depths.known = None
    shown = await stand.overview.show("tiny")
    assert (shown.queues[0].queued, shown.queues[0].broker.ready, shown.dead_letter_queue.ready) == (1, None, None)


async def test_a_rabbitmq_that_hangs_delays_a_sample_briefly_and_is_asked_once(
    stand: Stand, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it has answered, depths are unknown and no other request is sent; then the next sample has them."""
    monkeypatch.setattr(sampling, "DEPTHS_SECONDS", 0.05)
    stand.depths.known = {DEAD_QUEUE: Depth(7)}
    stand.depths.answering.clear()
    for _ in range(3):
        assert (await stand.overview.show()).dead_letter_queue.ready is None
        stand.clock.seconds += FRESH_SECONDS
    assert stand.depths.reads == 1
    stand.depths.answering.set()
    assert (await stand.overview.show()).dead_letter_queue.ready == 7


async def test_open_letters_are_counted_by_what_failed(stand: Stand, jobs: Jobs) -> None:
    """From the groups that are seen last, without reading letters."""
    await jobs.execute(
        "INSERT INTO dead_letter_groups (id, kind, model, reason, fingerprint, sample, open, total, first_seen_at,"
        " last_seen_at) SELECT gen_random_uuid(), 'job', model, reason, '', '{}', open, 9, now(), now()"
        " FROM (VALUES ('tiny', 'out_of_memory', 2), ('tiny', 'out_of_memory', 3), ('tiny', 'poison', 1),"
        " ('shapes', 'poison', 0), (NULL, 'undecodable', 4)) AS made (model, reason, open)"
    )
    sample = await stand.sampler.fresh()
    assert sample.counts.letters_by_code == {
        ("job", "tiny", "out_of_memory"): 5,
        ("job", "tiny", "poison"): 1,
        ("job", "", "undecodable"): 4,
    }


async def test_many_who_look_cost_as_much_as_one(stand: Stand, jobs: Jobs) -> None:
    """A sample answers everybody for some seconds; then the next one is taken, once."""
    await asyncio.gather(*(stand.overview.show() for _ in range(20)))
    await jobs.queued()
    assert (await stand.overview.show("tiny")).queues[0].queued == 0
    assert stand.depths.reads == 1
    stand.clock.seconds += FRESH_SECONDS
    shown = await asyncio.gather(*(stand.overview.show("tiny") for _ in range(20)))
    assert {view.queues[0].queued for view in shown} == {1}
    assert stand.depths.reads == 2


async def test_counts_stop_at_their_limit(stand: Stand, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost of a sample does not grow with the backlog."""
    monkeypatch.setattr(sampling, "COUNT_AT_MOST", 2)
    for _ in range(4):
        await jobs.queued()
    assert (await stand.overview.show("tiny")).queues[0].queued == 2
