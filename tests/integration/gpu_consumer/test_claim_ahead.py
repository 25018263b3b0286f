"""While one job is decoded, the next that waits is claimed; tests of everything that can happen in that window."""

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from chassis.broker import Broker
from darkroom_contracts.topology import work_queue
from gpu_consumer.gate import RESUMED
from gpu_consumer.renderer.process import RenderProcess
from tests.integration.gpu_consumer.line import Line
from tests.integration.gpu_consumer.workshop import Workshop, load
from tests.support.models import job_input
from tests.support.render_faults import DECODE_GATE, DECODES_SLOWLY
from tests.support.renderers import STAND_IN, rendered_by
from tests.support.waiting import eventually

SLOW = job_input(prompt=DECODES_SLOWLY)
TAKEN_OVER = """
    SELECT reap_jobs();
    UPDATE jobs SET status = 'running', attempt = attempt + 1, worker = 'bela', lease_token = gen_random_uuid(),
        lease_expires_at = now() + interval '1 hour', started_at = now()
    WHERE status = 'queued' AND id = '{job_id}';
"""


class Window:
    """A worker that decodes one job until the test ends the decode."""

    def __init__(self, line: Line, gate: Path) -> None:
        self.line = line
        self.shop = line.workshop
        self.rendered: list[str] = []
        """Prompts of the renders that began."""
        self._gate = gate

    async def open(self) -> UUID:
        """Wait until a job is decoded, and return its id."""
        job_id = await self.shop.submit(SLOW)
        self.line.start()
        await self.shop.stepping(job_id)
        await self.asked_for_the_next()
        return job_id

    async def asked_for_the_next(self) -> None:
        """Wait until the worker has asked its queue for a message that waits."""
        answers = self.line.app.empty_answers
        await eventually(lambda: answers.ages()[0] is not None or len(self._attempts) == 2)

    @property
    def _attempts(self) -> Any:
        return self.line.app.consumer.attempts

    def close(self) -> None:
        """Let the decode end."""
        self._gate.touch()


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("decode") / "open"


@pytest.fixture
def shut_gate(gate: Path) -> Path:
    gate.unlink(missing_ok=True)
    return gate


@pytest.fixture(scope="module")
async def slow_process(tiny_model: Path, gate: Path) -> AsyncIterator[RenderProcess]:
    """Start a warm render process whose decode waits at the gate if the prompt says so."""
    process = RenderProcess(load(tiny_model))
    with rendered_by(STAND_IN), pytest.MonkeyPatch.context() as patch:
        patch.setenv(DECODE_GATE, str(gate))
        await process.start()
    yield process
    await process.stop()


@pytest.fixture
async def window(
    workshop: Workshop, slow_process: RenderProcess, shut_gate: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Window]:
    async with Line(workshop, slow_process) as line:
        window = Window(line, shut_gate)
        render = slow_process.render

        async def noted(wanted: Any, *arguments: Any, **named: Any) -> Any:
            window.rendered.append(wanted.prompt)
            return await render(wanted, *arguments, **named)

        monkeypatch.setattr(slow_process, "render", noted)
        yield window
        window.close()


async def test_the_next_job_is_claimed_while_one_is_decoded(window: Window) -> None:
    """One job more is claimed, not begun; it renders as soon as the decode is done, and a third waits in the queue."""
    shop = window.shop
    slow, after, third = [await shop.submit(wanted) for wanted in (SLOW, job_input(), job_input())]
    window.line.start()
    claimed = await shop.reached(after, "running")
    assert (claimed["attempt"], claimed["step"]) == (1, None)
    assert window.rendered == [DECODES_SLOWLY]
    assert (await shop.job(third))["status"] == "queued"
    assert await shop.waiting() == 1
    window.close()
    for job_id in (slow, after, third):
        await shop.reached(job_id, "succeeded")
    assert await shop.outcomes(after) == ["succeeded"]


async def test_a_claimed_job_is_held_by_heartbeats(window: Window) -> None:
    """However long the decode takes, the job that waits for it stays with its worker."""
    shop = window.shop
    await shop.submit(SLOW)
    after = await shop.submit()
    window.line.start()
    first = (await shop.reached(after, "running"))["lease_expires_at"]

    async def extended() -> bool:
        return bool((await shop.job(after))["lease_expires_at"] > first)

    await eventually(extended)
    window.close()
    await shop.reached(after, "succeeded")


async def test_a_cancel_in_the_window_ends_the_job_at_once(window: Window) -> None:
    """It is canceled while the other is still decoded, and never rendered."""
    shop = window.shop
    slow, after = [await shop.submit(wanted) for wanted in (SLOW, job_input())]
    window.line.start()
    await shop.reached(after, "running")
    await shop.execute("UPDATE jobs SET cancel_requested_at = now() WHERE id = $1", after)
    window.line.app.consumer.hurry(after)
    await shop.reached(after, "canceled")
    assert (await shop.job(slow))["status"] == "running"
    window.close()
    await shop.reached(slow, "succeeded")
    assert window.rendered == [DECODES_SLOWLY]


async def test_a_deadline_in_the_window_ends_the_job(window: Window) -> None:
    """A deadline ends a claimed job by the worker's own clock before its turn comes."""
    shop = window.shop
    await shop.submit(SLOW)
    after = await shop.add_job(deadline=timedelta(hours=1), deadline_at=datetime.now(UTC) + timedelta(seconds=3))
    await shop.publish(after)
    window.line.start()
    await shop.reached(after.job_id, "running")
    job = await shop.reached(after.job_id, "expired")
    assert msgspec.json.decode(job["error"])["code"] == "deadline_exceeded"
    assert window.rendered == [DECODES_SLOWLY]


async def test_a_drain_in_the_window_gives_the_job_back_at_once(window: Window) -> None:
    """It is queued again with its attempt refunded, and the job that is decoded is finished."""
    shop = window.shop
    slow, after = [await shop.submit(wanted) for wanted in (SLOW, job_input())]
    window.line.start()
    await shop.reached(after, "running")
    stopping = asyncio.create_task(window.line.stop())
    job = await shop.reached(after, "queued")
    assert job["attempt"] == 0
    assert (await shop.job(slow))["status"] == "running"
    window.close()
    await stopping
    assert (await shop.job(slow))["status"] == "succeeded"
    assert await shop.outcomes(after) == ["released"]


async def test_a_pause_in_the_window_lets_what_is_claimed_be_finished(window: Window) -> None:
    """A paused model's worker finishes what it holds and takes nothing new."""
    shop = window.shop
    _, after, third = [await shop.submit(wanted) for wanted in (SLOW, job_input(), job_input())]
    window.line.start()
    await shop.reached(after, "running")
    await shop.execute("INSERT INTO paused_models (model, paused_by, reason) VALUES ('tiny', 'ada', 'a test')")
    window.line.app.gate.forbid(RESUMED)
    window.close()
    await shop.reached(after, "succeeded")
    assert (await shop.job(third))["status"] == "queued"
    assert await shop.waiting() == 1


async def test_a_paused_worker_claims_nothing_ahead(window: Window) -> None:
    """A pause that comes before the window leaves the message in the queue."""
    shop = window.shop
    slow = await window.open()
    window.line.app.gate.forbid(RESUMED)
    after = await shop.submit()
    window.close()
    await shop.reached(slow, "succeeded")
    assert (await shop.job(after))["status"] == "queued"
    assert await shop.waiting() == 1


async def test_an_idle_worker_gets_what_comes_in_the_window(window: Window) -> None:
    """The busy worker does not subscribe, so a message goes to a worker that can render it at once."""
    shop = window.shop
    slow = await window.open()
    idle = Broker(shop.environment["DARKROOM_AMQP_URL"], "an idle worker")
    channel = await idle.channel(prefetch=1)
    arrived: asyncio.Queue[Any] = asyncio.Queue()
    await (await channel.get_queue(work_queue("tiny"))).consume(arrived.put)
    after = await shop.submit()
    message = await asyncio.wait_for(arrived.get(), 10)
    assert (await shop.job(after))["status"] == "queued"
    await message.reject(requeue=True)
    await idle.close()
    window.close()
    for job_id in (slow, after):
        await shop.reached(job_id, "succeeded")


async def test_a_job_whose_lease_ran_out_in_a_frozen_worker_is_not_rendered(window: Window) -> None:
    """The worker looks at its row before it begins, and another one that has the job by then keeps it."""
    shop = window.shop
    _, after = [await shop.submit(wanted) for wanted in (SLOW, job_input())]
    window.line.start()
    await shop.reached(after, "running")
    url, lease = shop.environment["DARKROOM_DATABASE_URL"], float(shop.environment["DARKROOM_LEASE_SECONDS"])

    async def take_over() -> None:
        await asyncio.sleep(lease + 1)
        connection = await asyncpg.connect(url)
        await connection.execute(TAKEN_OVER.format(job_id=after))
        await connection.close()
        window.close()  # so that the job's turn comes in the moment in which the worker wakes
        await asyncio.sleep(1)

    frozen = threading.Thread(target=lambda: asyncio.run(take_over()))
    frozen.start()
    frozen.join()  # nothing of this thread's event loop moves, as after SIGSTOP
    await eventually(lambda: not window.line.app.consumer.attempts, seconds=30, what="the worker is done")
    job = await shop.job(after)
    assert (job["status"], job["worker"], job["step"]) == ("running", "bela", None)
    assert window.rendered == [DECODES_SLOWLY]
    lost = [attempt for attempt in await shop.attempts(after) if attempt["outcome"] == "lost"]
    assert [attempt["refunded"] for attempt in lost] == [True]
