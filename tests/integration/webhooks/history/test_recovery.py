"""All deliveries of an endpoint since a moment, sent again in bounded transactions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from chassis.errors import DatabaseUnavailableError
from chassis.moments import first_id_at, moment_of
from chassis.postgres import Connection, Database
from chassis.problems import ProblemError
from chassis.settings import DatabaseSettings
from darkroom_contracts.api.webhook_deliveries import RecoverReply, RecoverRequest
from tests.integration.webhooks.history.log import AMPLE, Log
from tests.support.clocks import Clock
from webhooks.history import recovery
from webhooks.history.recovery import Recovery

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
HOURS = [timedelta(hours=each) for each in range(8)]


@pytest.fixture
def recover(pool: Database) -> Recovery:
    return Recovery(pool, AMPLE)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two deliveries a transaction, six a request."""
    monkeypatch.setattr(recovery, "BATCH", 2)
    monkeypatch.setattr(recovery, "MAX_RECOVERED", 6)


async def until_done(recover: Recovery, log: Log, endpoint: UUID, request: RecoverRequest) -> list[int]:
    """Repeat the request with `next_since`, and return how many deliveries each one sent again."""
    counts = []
    while True:
        reply = await recover(log.caller(), str(endpoint), request)
        counts.append(reply.redelivered)
        if reply.next_since is None:
            return counts
        request = RecoverRequest(reply.next_since, request.include)


async def test_what_ended_without_success_is_due_again(recover: Recovery, log: Log) -> None:
    """Failed, retired and canceled ones; not those that succeeded, nor those that wait."""
    endpoint = await log.endpoint()
    ended = [
        delivery for status in ("failed", "retired", "canceled") for delivery in await log.deliver(endpoint, 2, status)
    ]
    succeeded, waiting = await log.deliver(endpoint, 2), await log.deliver(endpoint, 1, "pending")
    due_later = (await log.row(waiting[0]))["next_attempt_at"]
    others = await log.deliver(await log.endpoint(), 1, "failed")
    reply = await recover(log.caller(), str(endpoint), RecoverRequest(LONG_AGO))
    assert (reply.redelivered, reply.next_since) == (6, None)
    assert set(await log.with_status("pending")) == {*ended, *waiting}
    assert await log.with_status("succeeded") == succeeded
    assert await log.with_status("failed") == others
    row = await log.row(ended[0])
    assert (row["failures"], row["finished_at"], row["attempt"], row["body"]) == (0, None, 1, b'{"type":"job.failed"}')
    assert (await log.row(waiting[0]))["next_attempt_at"] == due_later


async def test_all_includes_what_succeeded(recover: Recovery, log: Log) -> None:
    """Those that wait stay as they are, and are not counted."""
    endpoint = await log.endpoint()
    for status in ("failed", "succeeded", "pending"):
        await log.deliver(endpoint, 2, status)
    assert (await recover(log.caller(), str(endpoint), RecoverRequest(LONG_AGO, "all"))).redelivered == 4
    assert len(await log.with_status("pending")) == 6


@pytest.mark.parametrize("include", ["failed", "all"])
async def test_since_is_the_first_moment(recover: Recovery, log: Log, include: str) -> None:
    """An event at that microsecond is included, an earlier one is not."""
    endpoint = await log.endpoint()
    made = await log.deliver(endpoint, 5, "failed")
    request = RecoverRequest(moment_of(made[2]), include)  # type: ignore[arg-type]
    assert (await recover(log.caller(), str(endpoint), request)).redelivered == 3
    assert await log.with_status("failed") == made[:2]


@pytest.mark.usefixtures("small_batches")
async def test_a_request_is_bounded_and_the_next_one_goes_on(recover: Recovery, log: Log) -> None:
    """The oldest first; `next_since` leads through all of them, each once, and then ends."""
    endpoint = await log.endpoint()
    made = [each for ago in HOURS[8:0:-1] for each in await log.deliver(endpoint, 2, "failed", ago=ago)]
    made += await log.deliver(endpoint, 1, "canceled", ago=timedelta(minutes=1))
    reply = await recover(log.caller(), str(endpoint), RecoverRequest(LONG_AGO))
    assert (reply.redelivered, reply.next_since) == (6, moment_of(made[6]))
    assert await log.with_status("pending") == made[:6]
    assert await until_done(recover, log, endpoint, RecoverRequest(moment_of(made[6]))) == [6, 3]
    assert await until_done(recover, log, endpoint, RecoverRequest(LONG_AGO)) == [0]


@pytest.mark.usefixtures("small_batches")
async def test_a_long_walk_past_waiting_ones_is_bounded_too(recover: Recovery, log: Log) -> None:
    """With `all`, those that wait are looked at and counted against the bound."""
    endpoint = await log.endpoint()
    await log.deliver(endpoint, 7, "pending", ago=HOURS[2])
    await log.deliver(endpoint, 2, "succeeded", ago=HOURS[1])
    assert await until_done(recover, log, endpoint, RecoverRequest(LONG_AGO, "all")) == [0, 2]


async def test_it_ends_in_time(pool: Database, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow transactions leave the rest to the next request."""
    monkeypatch.setattr(recovery, "BATCH", 2)
    clock = Clock()

    def slow() -> float:
        clock.seconds += recovery.SECONDS
        return clock()

    endpoint = await log.endpoint()
    made = await log.deliver(endpoint, 6, "failed")
    reply = await Recovery(pool, AMPLE, clock=slow)(log.caller(), str(endpoint), RecoverRequest(LONG_AGO))
    assert (reply.redelivered, reply.next_since) == (2, moment_of(made[2]))


async def test_two_at_once_send_each_once(recover: Recovery, log: Log) -> None:
    """They wait for each other's rows and count each delivery once."""
    endpoint = await log.endpoint()
    await log.deliver(endpoint, 1500, "failed")
    replies = await asyncio.gather(*(recover(log.caller(), str(endpoint), RecoverRequest(LONG_AGO)) for _ in range(2)))
    assert await log.with_status("failed") == []
    assert sum(reply.redelivered for reply in replies) == 1500
    assert [reply.next_since for reply in replies] == [None, None]


class CutOff(Database):
    """A pool whose connections end after a number of transactions."""

    left = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Break the connection within the transaction once none is left."""
        self.left -= 1
        async with super().transaction() as connection:
            yield connection
            if self.left < 0:
                await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")


@pytest.fixture
async def cut_off(database: str) -> AsyncIterator[CutOff]:
    opened = CutOff(DatabaseSettings(database_url=database), "webhooks-test")
    async with opened:
        yield opened


@pytest.mark.usefixtures("small_batches")
async def test_what_is_done_stays_done(cut_off: CutOff, recover: Recovery, log: Log) -> None:
    """The database ends in the third batch: the answer says how far it came, and where the next one begins."""
    endpoint = await log.endpoint()
    made = await log.deliver(endpoint, 6, "failed")
    cut_off.left = 3  # the first transaction counts the request
    reply = await Recovery(cut_off, AMPLE)(log.caller(), str(endpoint), RecoverRequest(LONG_AGO))
    assert (reply.redelivered, reply.next_since) == (4, moment_of(made[4]))
    assert await log.with_status("pending") == made[:4]
    assert await until_done(recover, log, endpoint, RecoverRequest(moment_of(made[4]))) == [2]


async def test_nothing_done_is_an_error(cut_off: CutOff, log: Log) -> None:
    """A database that ends in the first batch is answered as everywhere."""
    endpoint = await log.endpoint()
    made = await log.deliver(endpoint, 2, "failed")
    cut_off.left = 1
    with pytest.raises(DatabaseUnavailableError):
        await Recovery(cut_off, AMPLE)(log.caller(), str(endpoint), RecoverRequest(LONG_AGO))
    assert await log.with_status("failed") == made


async def test_the_future_is_refused(recover: Recovery, log: Log) -> None:
    """Nothing can be missing since then; the problem names the field."""
    with pytest.raises(ProblemError) as refused:
        await recover(log.caller(), str(await log.endpoint()), RecoverRequest(datetime.now(UTC) + timedelta(minutes=1)))
    assert (refused.value.problem.status, refused.value.problem.field) == (422, "since")


async def test_nothing_is_sent_to_an_endpoint_that_receives_nothing(recover: Recovery, log: Log) -> None:
    """A disabled one must be enabled first; a deleted one, a stranger's and any other text are unknown."""
    endpoint, deleted = await log.endpoint(), await log.endpoint()
    made = await log.deliver(endpoint, 1, "failed")
    await log.execute("UPDATE webhook_endpoints SET status = 'disabled', disabled_reason = 'x' WHERE id = $1", endpoint)
    await log.execute("UPDATE webhook_endpoints SET deleted_at = now() WHERE id = $1", deleted)
    foreign = await (await log.another()).endpoint()
    for reference, status in ((endpoint, 409), (deleted, 404), (foreign, 404), ("explicit", 404)):
        with pytest.raises(ProblemError) as refused:
            await recover(log.caller(), str(reference), RecoverRequest(LONG_AGO))
        assert refused.value.problem.status == status
    assert await log.with_status("failed") == made


async def test_the_implicit_endpoint_recovers_too(recover: Recovery, log: Log) -> None:
    """Each delivery goes to the URL of its job."""
    await log.deliver(await log.implicit(), 2, "failed")
    await log.deliver(await log.endpoint(), 1, "failed")
    assert (await recover(log.caller(), "implicit", RecoverRequest(LONG_AGO))).redelivered == 2


async def test_the_answer_says_since_when_deliveries_are_kept(recover: Recovery, log: Log) -> None:
    """What retention has removed can't be sent again, and an earlier `since` is accepted."""
    endpoint = await log.endpoint()
    assert await recover(log.caller(), str(endpoint), RecoverRequest(LONG_AGO)) == RecoverReply(redelivered=0)
    made = await log.deliver(endpoint, 2, "failed")
    reply = await recover(log.caller(), str(endpoint), RecoverRequest(LONG_AGO))
    assert (reply.redelivered, reply.kept_since) == (2, moment_of(made[0]))
    assert first_id_at(moment_of(made[0])) <= made[0]


async def test_the_letter_of_a_delivery_is_replayed(recover: Recovery, log: Log, rows: asyncpg.Connection) -> None:
    """Operators see that its owner has sent it again."""
    endpoint = await log.endpoint()
    [delivery] = await log.deliver(endpoint, 1, "failed")
    await rows.execute("SELECT bury_delivery($1, 'The receiver answered 500.')", delivery)
    await recover(log.caller(), str(endpoint), RecoverRequest(LONG_AGO))
    assert await rows.fetchval("SELECT status FROM dead_letters WHERE delivery_id = $1", delivery) == "replaying"
