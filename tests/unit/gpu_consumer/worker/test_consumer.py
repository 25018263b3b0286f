"""The consumer takes one message at a time: one job renders, one is stored or claimed ahead."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast
from uuid import UUID

import pytest

from chassis.errors import BrokerUnavailableError
from gpu_consumer.gate import RENDERER, Gate
from gpu_consumer.job.attempt import Attempt
from gpu_consumer.job.lease import Interruption, Lease
from gpu_consumer.job.outcome import Disposal
from gpu_consumer.usage import Usage
from gpu_consumer.worker import consumer as consumer_module
from gpu_consumer.worker.consumer import Consumer
from tests.support.waiting import eventually
from tests.unit.gpu_consumer.parts import claim_of


class FakeDelivery:
    """A message by its name, and what was done with it."""

    def __init__(self, name: str, done: list[str], *, is_heard: bool) -> None:
        self.body = name.encode()
        self.headers: Mapping[str, Any] = {"name": name}
        self._done = done
        self._is_heard = is_heard

    async def ack(self) -> bool:
        self._done.append(f"ack {self.body.decode()}")
        return self._is_heard

    async def reject(self) -> bool:
        self._done.append(f"reject {self.body.decode()}")
        return self._is_heard


class FakeQueue:
    """What waits, what was asked of it, and what was done with its messages."""

    def __init__(self) -> None:
        self.waiting: list[str] = []
        self.asked: list[str] = []
        self.done: list[str] = []
        self.is_heard = True
        """Whether channels live to pass on what becomes of their messages."""
        self.is_away = False
        self.arrival = asyncio.Event()

    def put(self, *names: str) -> None:
        self.waiting += names
        self.arrival.set()

    def pop(self) -> FakeDelivery | None:
        return FakeDelivery(self.waiting.pop(0), self.done, is_heard=self.is_heard) if self.waiting else None

    async def declare(self) -> None:
        self.asked.append("declare")
        if self.is_away:
            raise BrokerUnavailableError("away")

    async def bury(self, body: bytes, headers: Mapping[str, Any]) -> None:
        self.done.append(f"bury {body.decode()} of {headers['name']}")


class FakeSlot:
    """A channel to the queue."""

    def __init__(self, queue: FakeQueue) -> None:
        self._queue = queue

    async def fetch(self) -> FakeDelivery | None:
        self._queue.asked.append("fetch")
        return self._queue.pop()

    async def take(self, gate: Gate) -> FakeDelivery | None:
        self._queue.asked.append("take")
        while not self._queue.waiting and gate.is_open:
            self._queue.arrival.clear()
            closed = asyncio.create_task(gate.wait_closed())
            arrived = asyncio.create_task(self._queue.arrival.wait())
            await asyncio.wait([closed, arrived], return_when=asyncio.FIRST_COMPLETED)
            closed.cancel()
            arrived.cancel()
        return self._queue.pop()

    async def close(self) -> None:
        self._queue.done.append("close")


class FakePipeline:
    """Attempts that go on until the test ends them."""

    def __init__(self) -> None:
        self.disposal: Disposal | Exception = Disposal.ACK
        self.begun: list[str] = []
        self.endings: dict[str, asyncio.Event] = {}

    async def run(self, attempt: Attempt) -> Disposal:
        name = attempt.body.decode()
        self.begun.append(name)
        await self.endings.setdefault(name, asyncio.Event()).wait()
        if isinstance(self.disposal, Exception):
            raise self.disposal
        return self.disposal

    def end(self, name: str) -> None:
        self.endings.setdefault(name, asyncio.Event()).set()


class Line:
    """A consumer over fakes, running."""

    def __init__(self, slots: int = 2) -> None:
        self.gate = Gate(RENDERER)
        self.gate.allow(RENDERER)
        self.queue = FakeQueue()
        self.pipeline = FakePipeline()
        self.consumer = Consumer(
            self.pipeline,
            [FakeSlot(self.queue) for _ in range(slots)],
            self.gate,
            Usage(),
            self.queue.declare,
            self.queue.bury,
        )
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._running = asyncio.create_task(self.consumer.run(self._stop))

    async def stop(self, drain_seconds: float = 5.0) -> None:
        self.gate.drain()
        self._stop.set()
        if self._running is not None:
            await asyncio.wait_for(self._running, 5)
        await self.consumer.drain(drain_seconds)

    async def begun(self, *names: str) -> None:
        await eventually(lambda: self.pipeline.begun == list(names), what=f"{names} began")

    def turn_of(self, name: str) -> Any:
        (attempt,) = [attempt for attempt in self.consumer.attempts if attempt.body.decode() == name]
        return attempt.turn


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    one = Line()
    yield one
    for name in one.pipeline.begun:
        one.pipeline.end(name)
    await one.stop()


async def settled() -> None:
    """Let all tasks run until they wait."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("disposal", "is_heard", "done"),
    [
        (Disposal.ACK, True, ["ack a"]),
        (Disposal.ACK, False, ["ack a"]),
        (Disposal.REJECT, True, ["reject a"]),
        (Disposal.REJECT, False, ["reject a"]),
        (Disposal.BURY, True, ["reject a"]),
        (Disposal.BURY, False, ["reject a", "bury a of a"]),
        (Disposal.GIVE_BACK, True, ["close"]),
    ],
)
async def test_each_disposal_is_carried_out(line: Line, disposal: Disposal, is_heard: bool, done: list[str]) -> None:
    """Each disposal is carried out; an orphan's message is published if its channel is lost."""
    line.pipeline.disposal, line.queue.is_heard = disposal, is_heard
    line.queue.put("a")
    line.pipeline.end("a")
    line.start()
    await eventually(lambda: line.queue.done == done)


async def test_an_attempt_that_breaks_gives_its_message_back(line: Line) -> None:
    """An attempt that raises gives its message back, and the next one is taken."""
    line.pipeline.disposal = ZeroDivisionError("a bug")
    line.queue.put("a")
    line.pipeline.end("a")
    line.start()
    await eventually(lambda: line.queue.done == ["close"])
    line.queue.put("b")
    await line.begun("a", "b")


async def test_a_worker_that_breaks_every_attempt_pauses(line: Line) -> None:
    """A message whose attempt raised is kept for a moment: after 50 deliveries the broker buries it."""
    line.pipeline.disposal = ZeroDivisionError("a bug")
    names = [str(number) for number in range(100)]
    line.queue.put(*names)
    for name in names:
        line.pipeline.end(name)
    line.start()
    await line.begun("0", "1")
    await asyncio.sleep(0.2)
    assert (line.pipeline.begun, line.queue.done) == (["0", "1"], [])


async def test_a_drain_ends_the_pause(line: Line) -> None:
    """A drain gives a message back at once that is kept after its attempt raised."""
    line.pipeline.disposal = ZeroDivisionError("a bug")
    line.queue.put("a")
    line.pipeline.end("a")
    line.start()
    await line.begun("a")
    await asyncio.wait_for(line.stop(), 0.4)
    assert line.queue.done == ["close"]


async def test_a_message_that_can_not_be_disposed_of_frees_its_slot(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug of an ack or reject leaves no slot taken: the worker would stand still after two."""

    async def break_down(delivery: FakeDelivery) -> bool:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(FakeDelivery, "ack", break_down)
    names = ["a", "b", "c"]
    line.queue.put(*names)
    for name in names:
        line.pipeline.end(name)
    line.start()
    await line.begun(*names)
    assert line.queue.done[0] == "close"


async def test_a_slot_that_breaks_is_not_lost(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both slots take messages after both have raised what nobody expects."""
    take = FakeSlot.take

    async def break_down(slot: FakeSlot, gate: Gate) -> FakeDelivery | None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(FakeSlot, "take", break_down)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await line.consumer.run_once()
    monkeypatch.setattr(FakeSlot, "take", take)
    line.queue.put("a", "b")
    line.start()
    await line.begun("a")
    line.turn_of("a").end()
    await line.begun("a", "b")


async def test_no_message_is_taken_while_one_is_denoised(line: Line) -> None:
    """No message is taken while one is denoised."""
    line.queue.put("a", "b")
    line.start()
    await line.begun("a")
    await settled()
    assert line.queue.asked == ["declare", "take"]


async def test_a_message_that_waits_is_taken_while_one_is_decoded(line: Line) -> None:
    """A message that waits is taken while a job is decoded, and its turn comes after the decode."""
    line.queue.put("a", "b")
    line.start()
    await line.begun("a")
    line.turn_of("a").note_denoised()
    await line.begun("a", "b")
    assert not line.turn_of("b").has_come
    line.turn_of("a").end()
    assert line.turn_of("b").has_come


async def test_nothing_is_subscribed_for_while_one_is_decoded(line: Line) -> None:
    """While a job is decoded the worker does not subscribe; it takes the next message when the turn ends."""
    line.queue.put("a")
    line.start()
    await line.begun("a")
    line.turn_of("a").note_denoised()
    await eventually(lambda: line.queue.asked == ["declare", "take", "fetch"])
    line.queue.put("b")
    await settled()
    assert line.queue.asked == ["declare", "take", "fetch"]
    line.turn_of("a").end()
    await line.begun("a", "b")
    assert line.queue.asked[-1] == "take"


async def test_a_third_message_waits_for_a_slot(line: Line) -> None:
    """With both slots taken a third message waits until one is free."""
    line.queue.put("a", "b", "c")
    line.start()
    await line.begun("a")
    line.turn_of("a").end()
    await line.begun("a", "b")
    line.turn_of("b").end()
    await settled()
    assert line.pipeline.begun == ["a", "b"]
    line.pipeline.end("a")
    await line.begun("a", "b", "c")


async def test_with_one_slot_nothing_overlaps() -> None:
    """With one slot the next message is taken when the attempt before has ended."""
    line = Line(slots=1)
    line.queue.put("a", "b")
    line.start()
    await line.begun("a")
    line.turn_of("a").end()
    await settled()
    assert line.pipeline.begun == ["a"]
    line.pipeline.end("a")
    await line.begun("a", "b")
    line.pipeline.end("b")
    await line.stop()


async def test_a_closed_gate_lets_nothing_in(line: Line) -> None:
    """No message is taken while the gate is closed."""
    line.gate.forbid(RENDERER)
    line.queue.put("a")
    line.start()
    await settled()
    assert line.queue.asked == []
    line.gate.allow(RENDERER)
    await line.begun("a")


async def test_a_broker_that_is_away_costs_no_slot(line: Line) -> None:
    """After an outage of the broker the queue is declared again, and both slots take messages."""
    line.queue.is_away = True
    for _ in range(3):
        with pytest.raises(BrokerUnavailableError):
            await line.consumer.run_once()
    line.queue.is_away = False
    line.queue.put("a", "b")
    line.start()
    await line.begun("a")
    line.turn_of("a").end()
    await line.begun("a", "b")
    assert line.queue.asked.count("declare") == 4


async def test_a_drain_waits_for_attempts_and_takes_no_more(line: Line) -> None:
    """A drain waits for the attempt under way and takes no other message."""
    line.queue.put("a", "b")
    line.start()
    await line.begun("a")
    stopping = asyncio.create_task(line.stop())
    await settled()
    assert not stopping.done()
    line.pipeline.end("a")
    await asyncio.wait_for(stopping, 5)
    assert (line.pipeline.begun, line.queue.done) == (["a"], ["ack a"])


async def test_an_attempt_that_outlasts_the_drain_is_interrupted(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt that outlasts the drain is interrupted."""
    line.queue.put("a")
    line.start()
    await line.begun("a")
    reasons: list[Interruption] = []

    def interrupt(reason: Interruption) -> None:
        reasons.append(reason)
        line.pipeline.end("a")

    monkeypatch.setattr(line.consumer.attempts[0], "interrupt", interrupt)
    await line.stop(drain_seconds=0.01)
    assert (reasons, line.queue.done) == ([Interruption.DRAIN], ["ack a"])


async def test_an_attempt_that_can_not_be_stopped_is_left_behind(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt that ignores the interruption is canceled, and its message goes back."""
    monkeypatch.setattr(consumer_module, "ABORT_SECONDS", 0.01)
    line.queue.put("a")
    line.start()
    await line.begun("a")
    await line.stop(drain_seconds=0.01)
    assert line.queue.done == ["close"]
    assert line.consumer.attempts == ()


async def test_a_cancel_hurries_its_job_alone(line: Line) -> None:
    """A cancel hurries only the heartbeat of its job."""
    line.queue.put("a", "b")
    line.start()
    await line.begun("a")
    line.turn_of("a").end()
    await line.begun("a", "b")
    first, second = (HurriedLease(UUID(int=number)) for number in (1, 2))
    for attempt, lease in zip(line.consumer.attempts, (first, second), strict=True):
        attempt.lease = cast(Lease, lease)
    line.consumer.hurry(UUID(int=2))
    assert (first.hurries, second.hurries) == (0, 1)


class HurriedLease:
    """Counts the heartbeats that were asked for."""

    def __init__(self, job_id: UUID) -> None:
        self.claimed = claim_of(job_id=job_id)
        self.hurries = 0

    def hurry(self) -> None:
        self.hurries += 1
