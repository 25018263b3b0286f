"""The worker's name, and its notifications of cancels."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from gpu_consumer.gate import NAME, Gate
from gpu_consumer.startup import NameTakenError
from gpu_consumer.worker.presence import PATIENCE_SECONDS, RENEWAL_PATIENCE_SECONDS, Presence
from tests.integration.gpu_consumer.workshop import TAKE_NAME, Workshop
from tests.support.waiting import eventually

APPLICATION = "darkroom-gpu-consumer-presence"
NOTIFY = "SELECT pg_notify(cancel_channel($1), $2)"
CUT = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{APPLICATION}'"
WAITS_FOR_LOCK = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"


class Standing:
    """A presence and its gate."""

    def __init__(self, shop: Workshop) -> None:
        self.gate = Gate(NAME)
        self.heard: list[UUID] = []
        self.presence = Presence(shop.settings().database, "anna", self.gate, self.heard.append, 1.0)


@pytest.fixture
async def standing(workshop: Workshop) -> AsyncIterator[Standing]:
    one = Standing(workshop)
    await one.presence.acquire()
    yield one
    await one.presence.close()


async def test_a_living_twin_is_refused(workshop: Workshop, standing: Standing) -> None:
    """The second worker of a name can't start, and the error says what to do."""
    twin = Standing(workshop)
    with pytest.raises(NameTakenError, match=r"'anna'.*DARKROOM_WORKER_NAME"):
        await twin.presence.acquire()
    assert not twin.gate.holds(NAME)
    await twin.presence.close()


async def test_a_name_that_was_let_go_can_be_taken(workshop: Workshop, standing: Standing) -> None:
    """A successor starts as soon as its predecessor is gone."""
    await standing.presence.close()
    successor = Standing(workshop)
    await successor.presence.acquire()
    assert successor.gate.holds(NAME)
    await successor.presence.close()


async def test_a_cancel_is_heard(workshop: Workshop, standing: Standing) -> None:
    """A notification names the job; an invalid one and another worker's are ignored."""
    job_id = uuid4()
    await workshop.execute(NOTIFY, "another", str(uuid4()))
    await workshop.execute(NOTIFY, "anna", "nonsense")
    await workshop.execute(NOTIFY, "anna", str(job_id))
    await eventually(lambda: standing.heard == [job_id])


async def test_the_name_is_locked_and_cancels_are_heard_again_after_a_loss(
    workshop: Workshop, standing: Standing
) -> None:
    """While the connection is lost the gate is closed; then the name is locked and notifications arrive again."""
    running = asyncio.create_task(standing.presence.run())
    await workshop.execute(CUT)
    await asyncio.wait_for(standing.gate.wait_closed(), 10)
    await asyncio.wait_for(standing.gate.wait_for(NAME), 10)
    job_id = uuid4()
    await workshop.execute(NOTIFY, "anna", str(job_id))
    await eventually(lambda: standing.heard == [job_id])
    running.cancel()


async def test_a_half_open_session_of_its_own_is_outlived(workshop: Workshop, standing: Standing) -> None:
    """After a network cut the server holds the name until it notices: longer than a worker waits at its start."""
    running = asyncio.create_task(standing.presence.run())
    half_open = await asyncpg.connect(workshop.environment["DARKROOM_DATABASE_URL"])
    taking = asyncio.create_task(half_open.execute(TAKE_NAME))

    async def in_line() -> bool:
        return bool(await workshop.rows(WAITS_FOR_LOCK))

    await eventually(in_line)
    await workshop.execute(CUT)
    await taking
    await asyncio.sleep(PATIENCE_SECONDS + 1)
    assert not running.done()
    half_open.terminate()
    await asyncio.wait_for(standing.gate.wait_for(NAME), 10)
    running.cancel()


async def test_a_renewal_waits_longer_than_a_half_open_session_lives(workshop: Workshop) -> None:
    """By the session defaults that every migration sets, with ten seconds to spare."""
    (row,) = await workshop.rows(
        "SELECT current_setting('tcp_keepalives_idle')::int + current_setting('tcp_keepalives_interval')::int"
        " * current_setting('tcp_keepalives_count')::int AS keepalives,"
        " current_setting('tcp_user_timeout')::int / 1000 AS user_timeout"
    )
    assert 0 < row["keepalives"] <= RENEWAL_PATIENCE_SECONDS - 10
    assert 0 < row["user_timeout"] <= RENEWAL_PATIENCE_SECONDS - 10


async def test_a_worker_whose_name_was_taken_meanwhile_gives_up(
    workshop: Workshop, standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A twin that was faster after a loss has the name for good."""
    monkeypatch.setattr("gpu_consumer.worker.presence.RENEWAL_PATIENCE_SECONDS", 1.0)
    running = asyncio.create_task(standing.presence.run())
    twin = await asyncpg.connect(workshop.environment["DARKROOM_DATABASE_URL"])
    taking = asyncio.create_task(twin.execute(TAKE_NAME))

    async def in_line() -> bool:
        return bool(await workshop.rows(WAITS_FOR_LOCK))

    await eventually(in_line)
    await workshop.execute(CUT)
    await taking
    with pytest.raises(NameTakenError):
        await asyncio.wait_for(running, 15)
    assert not standing.gate.holds(NAME)
    await twin.close()


async def test_a_database_without_its_schema_is_waited_for(workshop: Workshop, standing: Standing) -> None:
    """A database that is being restored has no functions for a while: the worker lives on and has its name again."""
    await workshop.execute("ALTER FUNCTION cancel_channel RENAME TO not_there_yet")
    with capture_logs() as logs:
        running = asyncio.create_task(standing.presence.run())
        await workshop.execute(CUT)
        await eventually(lambda: any("cancel_channel" in entry.get("error", "") for entry in logs))
        assert not standing.gate.holds(NAME)
        await workshop.execute("ALTER FUNCTION not_there_yet RENAME TO cancel_channel")
        await asyncio.wait_for(standing.gate.wait_for(NAME), 10)
    running.cancel()
