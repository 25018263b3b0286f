"""Everything that takes part in the protocol, wired together: the product's code on one database and one broker."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import count as counting
from typing import Any, cast
from uuid import UUID

from chassis.amqp import BrokerUnavailableError, RefusedError, UnroutableError
from chassis.confirms import Answer, Receipt
from chassis.confirms import Message as PublishedMessage
from chassis.loops import Loop
from contracts.api import JobInput
from gateway.batch import Committer
from gateway.relay import Relay
from gateway.store import JobStore, OutboxStore
from gateway.submission import Submission
from gateway.topology import Declarer
from operations.ingest import ingest
from operations.replay import ReplayRefusedError, replay
from operations.sweeps import Expire, Republish, Rescue
from tests.protocol.broker import LANES, MODEL, Broker, Message
from tests.protocol.records import Records
from tests.protocol.strings import Pause, settle
from tests.protocol.worker import CATALOGUE, Worker

INPUT = JobInput("a lighthouse", "", 2, 7.5, "ddim", 64, 64, 7, 1, "png")
A_DAY = 86_400


class World:
    def __init__(self, records: Records, seen: Counter[str]) -> None:
        self.records = records
        self._seen = seen
        self.broker = Broker()
        self.objects: set[str] = set()
        self.workers: list[Worker] = []
        self._numbers = counting()
        database = records.database
        self.jobs = JobStore(database)
        self.relay = self._relay_by(CourierTo(self.broker))
        self.dying_relay = self._relay_by(DyingCourier(self.broker))
        self.rescue = Rescue(database, lease_seconds=0)
        self.expire = Expire(database)
        self.republish = Republish(database, lease_seconds=0)

    def _relay_by(self, courier: "CourierTo") -> Relay:
        """A relay whose circuit breakers find every pause over."""
        declarer = Declarer(cast(Any, self.broker), [MODEL], LANES)
        clock = counting(step=3600).__next__
        return Relay(self.records.database, OutboxStore(), cast(Any, courier), declarer, clock)

    # --- workers ---

    async def start_worker(self, name: str) -> None:
        """A new life under a name."""
        await self.bury_the_drained()
        worker = Worker(name, self.records.database, self.broker, self.objects)
        self.workers.append(worker)
        await worker.start()

    async def kill(self, worker: Worker) -> None:
        self.workers.remove(worker)
        await worker.kill()

    async def bury_the_drained(self) -> None:
        for worker in list(self.workers):
            if worker.draining and not worker.strings.pauses:
                await self.kill(worker)

    def lose_broker(self) -> None:
        """Its data folder is gone."""
        self.broker.lose_everything()
        for worker in self.workers:
            worker.line.hold_nothing()

    def pauses(self, *kinds: str) -> list[tuple[Worker, Pause]]:
        return [(worker, pause) for worker in self.workers for pause in worker.strings.pauses if pause.kind in kinds]

    async def settle(self) -> None:
        await settle(worker.strings for worker in self.workers)

    # --- clients ---

    async def submit(self, count: int, events: tuple[Any, ...]) -> None:
        """Concurrent posts: they share a commit."""
        submissions = [self._submission(next(self._numbers), events) for _ in range(count)]
        async with Committer(self.jobs) as committer:
            await asyncio.gather(*map(committer.submit, submissions))

    def _submission(self, number: int, events: tuple[Any, ...]) -> Submission:
        return Submission(
            id=UUID(int=number),
            tenant_id=self.records.tenant_id,
            model=MODEL,
            input=INPUT,
            metadata={},
            webhook_url="http://hooks.test/" if events else None,
            webhook_events=events,
            ttl_seconds=A_DAY,
            cost=INPUT.cost,
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )

    async def cancel(self, job_id: UUID) -> None:
        assert await self.jobs.cancel(job_id, self.records.tenant_id) is not None

    # --- operations ---

    async def run_relay(self) -> None:
        await self.records.let_outbox_be_due()
        await self.relay.run_once()

    async def run_relay_to_its_death(self) -> None:
        """It publishes, and dies before it deletes."""
        await self.records.let_outbox_be_due()
        try:
            await self.dying_relay.run_once()
        except DiedError:
            return
        raise AssertionError("the relay had nothing to publish")

    async def sweep_at_once(self, sweep: Loop) -> None:
        """Two processes sweep at one time."""
        await asyncio.gather(sweep.run_once(), sweep.run_once())

    async def ingest(self, message: Message, *, dies: bool = False) -> None:
        """Record a dead message; when the process dies before its ack, the message returns."""
        tag = self.broker.deliver_dead(message)
        ingested = await ingest(self.records.database, message.body, message.headers)
        (self.broker.take_back_dead if dies else self.broker.ack)(tag)
        self._seen[f"ingest {ingested}"] += 1

    async def replay_at_once(self, letter_id: UUID) -> int:
        """Two operators replay one dead letter at one time; how many were let."""
        both = (replay(self.records.database, letter_id, "test", lambda: CATALOGUE) for _ in range(2))
        answers = await asyncio.gather(*both, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, ReplayRefusedError):
                raise answer
        return sum(not isinstance(answer, BaseException) for answer in answers)

    async def end(self) -> None:
        for worker in list(self.workers):
            await self.kill(worker)
        await self.records.forget_everything()


class DiedError(BaseException):
    """A process died here."""


class CourierTo:
    """Stands in for `gateway.courier.Courier`: every publish has its answer at once."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def connect(self) -> None:
        """The broker is there."""

    async def send(self, destination: str, messages: Sequence[PublishedMessage]) -> list[Receipt]:
        return [Receipt(await self._publish(message)) for message in messages]

    async def _publish(self, message: PublishedMessage) -> Answer:
        try:
            await self._broker.publish(
                message.exchange, message.routing_key, message.body, message.headers, message.content_type
            )
        except UnroutableError:
            return "returned"
        except RefusedError:
            return "refused"
        except BrokerUnavailableError:
            return "unknown"
        return "confirmed"


class DyingCourier(CourierTo):
    """Its process dies when the messages were published."""

    async def send(self, destination: str, messages: Sequence[PublishedMessage]) -> list[Receipt]:
        await super().send(destination, messages)
        raise DiedError
