"""Late and missing confirms."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from chassis.broker import Broker
from chassis.confirms import Answer, Message, Receipt
from chassis.postgres import Database
from darkroom_contracts.messages import decode_render
from darkroom_contracts.topology import Lanes, work_queue
from gateway.declarer import Declarer
from gateway.publishers import Publishers
from gateway.relay import Relay
from gateway.store import OutboxStore
from tests.integration.gateway.outbox import Outbox, published
from tests.support.clocks import Clock

QUEUE = work_queue("tiny")


class SlowPublishers(Publishers):
    """Publishers whose answers wait until the test releases them."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self.held: list[Receipt] = []
        self.holding = True

    async def send(self, destination: str, messages: Sequence[Message]) -> list[Receipt]:
        receipts = await super().send(destination, messages)
        if not self.holding:
            return receipts
        self.held += (held := [Receipt() for _ in receipts])
        return held

    def confirm(self) -> None:
        for receipt in self.held:
            receipt.resolve(Answer.CONFIRMED)
        self.held.clear()

    def lose(self) -> None:
        for receipt in self.held:
            receipt.resolve(Answer.UNKNOWN)
        self.held.clear()


@pytest.fixture
def publishers(broker: Broker) -> SlowPublishers:
    return SlowPublishers(broker)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def relay(pool: Database, broker: Broker, publishers: SlowPublishers, clock: Clock) -> Relay:
    declarer = Declarer(broker, ["tiny"], Lanes.of((1,)))
    await declarer.run_once()
    return Relay(pool, OutboxStore(), publishers, declarer, clock)


async def announced_at(rows: asyncpg.Connection, job: UUID) -> datetime:
    moment: datetime = await rows.fetchval("SELECT announced_at FROM jobs WHERE id = $1", job)
    return moment


async def test_an_unconfirmed_message_backs_off_from_now(
    relay: Relay, outbox: Outbox, publishers: SlowPublishers, clock: Clock
) -> None:
    """The pauses are 2, 4, 8 seconds and at most a minute, from the end of the wait for the confirm."""
    await outbox.put()
    pauses = []
    for failures in (0, 1, 2, 20):
        await outbox.let_be_due(failures)
        clock.seconds += 60
        await relay.run_once()
        pauses += await outbox.pauses()
    assert pauses == pytest.approx([2, 4, 8, 60], abs=0.2)


async def test_an_unknown_outcome_makes_a_duplicate_not_a_loss(
    relay: Relay, outbox: Outbox, publishers: SlowPublishers, clock: Clock, vhost: str
) -> None:
    """After a lost confirm the message is published again."""
    (job,) = await outbox.put()
    await relay.run_once()
    publishers.lose()
    assert await outbox.waiting() == [(1, False)]

    publishers.holding = False
    clock.seconds += 1
    await outbox.let_be_due()
    await relay.run_once()
    assert [decode_render(message.body).job_id for message in await published(vhost, QUEUE)] == [job, job]
    assert await outbox.waiting() == []


async def test_a_late_confirm_still_deletes_its_message(
    relay: Relay, outbox: Outbox, publishers: SlowPublishers, vhost: str
) -> None:
    """It is published once, and the circuit of its queue closes at once."""
    await outbox.put()
    await relay.run_once()
    assert await outbox.waiting() == [(1, False)]
    publishers.confirm()
    publishers.holding = False
    await outbox.put()
    await relay.run_once()
    assert await outbox.waiting() == []
    assert len(await published(vhost, QUEUE)) == 2


async def test_a_late_confirm_spares_what_was_asked_for_anew(
    relay: Relay, outbox: Outbox, rows: asyncpg.Connection, publishers: SlowPublishers
) -> None:
    """A renewed message keeps its row, whatever the outcome of the earlier one."""
    await outbox.put()
    await relay.run_once()
    await rows.execute("SELECT enqueue_message(jobs) FROM jobs")
    await rows.execute("UPDATE outbox SET available_at = now() + interval '1 hour'")
    publishers.confirm()
    await relay.run_once()
    assert await outbox.waiting() == [(0, False)]


async def test_a_late_confirm_waits_for_no_other_relay(
    relay: Relay, outbox: Outbox, rows: asyncpg.Connection, publishers: SlowPublishers
) -> None:
    """A row that another relay has locked is left to that relay."""
    await outbox.put()
    await relay.run_once()
    publishers.confirm()
    async with rows.transaction():
        await rows.execute("SELECT FROM outbox FOR UPDATE")
        await relay.run_once()
    assert await outbox.waiting() == [(1, False)]


@pytest.fixture(params=["in its batch", "after its batch"])
def in_time(request: pytest.FixtureRequest, publishers: SlowPublishers) -> bool:
    """Return whether the confirm arrives while the transaction waits for it."""
    publishers.holding = request.param != "in its batch"
    return not publishers.holding


async def relayed(relay: Relay, publishers: SlowPublishers, *, in_time: bool) -> None:
    """Publish, and process the confirm."""
    await relay.run_once()
    if not in_time:
        publishers.confirm()
        await relay.run_once()


AGE = "UPDATE outbox SET created_at = created_at - $1::text::interval"


async def test_a_late_message_moves_its_announcement(
    relay: Relay, outbox: Outbox, rows: asyncpg.Connection, publishers: SlowPublishers, in_time: bool
) -> None:
    """A message that is confirmed after 30 s may have reached its queue 30 s later than announced."""
    (job,) = await outbox.put()
    await rows.execute(AGE, "30 s")
    before = await announced_at(rows, job)
    await relayed(relay, publishers, in_time=in_time)
    moved = await announced_at(rows, job) - before
    assert timedelta(seconds=30) <= moved < timedelta(seconds=60)
    assert await outbox.waiting() == []


async def test_a_prompt_message_leaves_its_announcement(
    relay: Relay, outbox: Outbox, rows: asyncpg.Connection, publishers: SlowPublishers, in_time: bool
) -> None:
    """A delay below 10 s is included in the announcement."""
    (job,) = await outbox.put()
    await rows.execute(AGE, "3 s")
    before = await announced_at(rows, job)
    await relayed(relay, publishers, in_time=in_time)
    assert await announced_at(rows, job) == before


async def test_the_time_in_a_lane_is_kept(
    relay: Relay, outbox: Outbox, rows: asyncpg.Connection, publishers: SlowPublishers, in_time: bool
) -> None:
    """`announced_at` includes the delay of the lane, and the late confirm is added to it."""
    (job,) = await outbox.put(lane="1sb")
    await rows.execute(AGE, "30 s")
    await rows.execute("UPDATE jobs SET announced_at = announced_at + interval '1 hour'")
    before = await announced_at(rows, job)
    await relayed(relay, publishers, in_time=in_time)
    assert await announced_at(rows, job) - before >= timedelta(seconds=30)


async def test_a_claimed_job_keeps_its_announcement(
    relay: Relay, outbox: Outbox, rows: asyncpg.Connection, publishers: SlowPublishers, in_time: bool
) -> None:
    """Only waiting jobs are republished."""
    (job,) = await outbox.put()
    await rows.execute(AGE, "30 s")
    await rows.execute(
        "UPDATE jobs SET status = 'running', attempt = 1, started_at = now(), worker = 'ansel',"
        " lease_token = gen_random_uuid(), lease_expires_at = now()"
    )
    before = await announced_at(rows, job)
    await relayed(relay, publishers, in_time=in_time)
    assert await announced_at(rows, job) == before
    assert await outbox.waiting() == []


async def test_the_announcement_waits_for_no_jobs_row(
    relay: Relay, outbox: Outbox, rows: asyncpg.Connection, publishers: SlowPublishers, in_time: bool
) -> None:
    """The owner of the lock acts on the job; the relay continues."""
    held, job = await outbox.put(2)
    await rows.execute(AGE, "30 s")
    before = await announced_at(rows, held)
    async with rows.transaction():
        await rows.execute("SELECT FROM jobs WHERE id = $1 FOR UPDATE", held)
        await relayed(relay, publishers, in_time=in_time)
    assert await announced_at(rows, held) == before
    assert await announced_at(rows, job) - before >= timedelta(seconds=29)
    assert await outbox.waiting() == []
