"""Everything that takes part in the protocol, wired together: the product's code on one database and one broker."""

import asyncio
import time
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from itertools import count as counting
from typing import Any, cast
from uuid import UUID

import msgspec

from chassis.jobs.absence import JobGoneError
from chassis.loops import Loop
from darkroom_contracts.api import JobInput
from gateway.batch import Committer
from gateway.declarer import Declarer
from gateway.relay import Relay
from gateway.store import JobStore, OutboxStore
from gateway.submission import Submission, hash_body
from operations.letters.ingest import Ingested, ingest
from operations.replays.outcome import ReplayRefusedError
from operations.replays.replay import replay
from operations.retention.pruning import PruneLetters
from operations.retention.purge import PurgeJobs
from operations.retention.store import advance_purge
from operations.sweeps.loops import Expire, Republish, Rescue
from tests.protocol.broker import LANES, MODEL, Broker, Message
from tests.protocol.publishers import AnsweringPublishers, DiedError, DyingPublishers
from tests.protocol.records import Records
from tests.protocol.snapshot import TERMINAL, Job, Key, milliseconds_of
from tests.protocol.strings import Pause, settle
from tests.protocol.worker import CATALOGUE, Worker

HALF_AN_HOUR = 1800
"""Shorter than any lane: a retry of a job with such a deadline would come too late."""
DEADLINES = (None, None, HALF_AN_HOUR, 86_400)
TEN_DAYS_AGO = int((time.time() - 10 * 86_400) * 1000)
A_MINUTE = 60_000
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
        self.accepted: list[UUID] = []
        self.keys: dict[UUID, str] = {}
        """The Idempotency-Keys that jobs were submitted with."""
        self.forgotten: set[UUID] = set()
        """Jobs that a restored database did not know, when it was restored."""
        self.given_up: set[UUID] = set()
        """Those of them of which the last message went down with who had it."""
        self.aged: set[UUID] = set()
        """Jobs that ended long ago."""
        self.purged: set[UUID] = set()
        self.unclaimed: set[Key] = set()
        """Whose claim Postgres lost."""
        self.lost_renders: set[tuple[UUID, str, str]] = set()
        """Jobs, workers and tokens of lost claims."""
        self.failures: Counter[UUID] = Counter()
        """How often workers met a failure of a job."""
        database = records.database
        self.jobs = JobStore(database)
        self.relay = self._relay_by(AnsweringPublishers(self.broker))
        self.dying_relay = self._relay_by(DyingPublishers(self.broker))
        self.rescue = Rescue(database, lease_seconds=0)
        self.expire = Expire(database)
        self.republish = Republish(database, lease_seconds=0)

    def _relay_by(self, publishers: "AnsweringPublishers") -> Relay:
        """Return a relay whose circuit breakers find every pause over."""
        declarer = Declarer(cast(Any, self.broker), [MODEL], LANES)
        clock = counting(step=3600).__next__
        return Relay(self.records.database, OutboxStore(), cast(Any, publishers), declarer, clock)

    # --- workers ---

    async def start_worker(self, name: str) -> None:
        """Start a new worker under a name."""
        await self.bury_the_drained()
        worker = Worker(name, self.records.database, self.broker, self.objects)
        self.workers.append(worker)
        await worker.start()

    async def kill(self, worker: Worker) -> None:
        self.workers.remove(worker)
        had = {delivery.key for delivery in worker.line.at_hand}
        await worker.kill()
        self.broker.lost |= (had & self.unclaimed) - self.undecided()
        self._give_up()

    async def bury_the_drained(self) -> None:
        for worker in list(self.workers):
            if worker.draining and not worker.strings.pauses:
                await self.kill(worker)

    def lose_broker(self) -> None:
        """Its data folder is gone."""
        self.broker.lose_everything()
        for worker in self.workers:
            worker.line.hold_nothing()
        self._give_up()

    def lose_message(self, message: Message) -> None:
        self.broker.lose(message)
        self._give_up()

    def whereabouts(self) -> set[Key | None]:
        """Return the jobs of all messages, on the broker or in a worker's memory."""
        at_hand = {delivery.key for worker in self.workers for delivery in worker.line.at_hand}
        return self.broker.keys() | at_hand

    def undecided(self) -> set[Key | None]:
        """As `whereabouts`, without the messages that are acked, or were parked, or whose job another worker took."""
        lying = {message.key for message in (*self.broker.work, *self.broker.waiting, *self.broker.dead)}
        at_hand = Counter(delivery.key for worker in self.workers for delivery in worker.line.at_hand)
        acked = Counter(pause.key for _, pause in self.pauses("ack", "note"))
        acked.update(key for worker in self.workers for key in worker.overtaken)
        return lying | (at_hand - acked).keys()

    def _give_up(self) -> None:
        """Whatever was in no other memory than that of who is gone."""
        self.given_up |= self.forgotten - {key[0] for key in self.undecided() if key}

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
        for submission in submissions:
            self._accept(submission)

    async def submit_again(self, job_id: UUID) -> None:
        """Repeat the request of a client whose job the database lost; it gets another job."""
        submission = msgspec.structs.replace(
            self._submission(next(self._numbers), ()), idempotency_key=self.keys[job_id], body_hash=hash_body(b"same")
        )
        async with Committer(self.jobs) as committer:
            await committer.submit(submission)
        self._accept(submission)

    def _accept(self, submission: Submission) -> None:
        self.accepted.append(submission.id)
        if submission.idempotency_key:
            self.keys[submission.id] = submission.idempotency_key

    def _submission(self, number: int, events: tuple[Any, ...]) -> Submission:
        """Each a minute younger than the one before; most have a key, and some a deadline."""
        job_id = UUID(int=(TEN_DAYS_AGO + number * A_MINUTE) << 80 | 0x7 << 76 | 0b10 << 62 | number)
        return Submission(
            id=job_id,
            tenant_id=self.records.tenant_id,
            model=MODEL,
            input=INPUT,
            metadata={},
            webhook_url="https://hooks.test/" if events else None,
            webhook_events=events,
            ttl_seconds=A_DAY,
            deadline_seconds=DEADLINES[number % len(DEADLINES)],
            cost=INPUT.cost,
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            idempotency_key=f"key-{number}" if number % 3 else None,
            body_hash=hash_body(b"same") if number % 3 else None,
        )

    async def cancel(self, job_id: UUID) -> None:
        """Cancel a deleted job: the answer is that it is gone."""
        with suppress(JobGoneError):
            await self.jobs.cancel(job_id, self.records.tenant_id)

    async def delete(self, job_id: UUID) -> bool:
        """Whether it was deleted: not where it had not ended, or had gone before."""
        try:
            return await self.jobs.delete(job_id, self.records.tenant_id) is None
        except JobGoneError:
            return False

    # --- disasters ---

    async def lose_claim(self, job: Job) -> None:
        """Postgres crashed before the claim was on its disk.

        Who saw the job running may be about to ack its message: then the holder is left, or the republish.
        """
        assert job.worker is not None
        assert job.lease_token is not None
        self.lost_renders.add((job.id, job.worker, job.lease_token.hex))
        self.unclaimed.add(job.key)
        await self.records.lose_claim(job.id)
        self.broker.lost |= {job.key} - self.undecided()

    async def forget(self, job: Job) -> None:
        """Restore the database from a backup that is older than the job."""
        self.forgotten.add(job.id)
        self.aged.discard(job.id)
        if job.status in TERMINAL:
            self.given_up.add(job.id)  # the last of its messages may be on its way to an end that was known
        await self.records.let("job_be_forgotten", job_id=job.id)

    # --- operations ---

    async def run_relay(self) -> None:
        await self.records.let("outbox_be_due")
        await self.relay.run_once()

    async def run_relay_to_its_death(self) -> None:
        """Publish, and crash before the delete."""
        await self.records.let("outbox_be_due")
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
        if ingested is Ingested.ORPHANED:
            self._seen[f"orphan {_how_it_died(message)}"] += 1
        (self.broker.take_back_dead if dies else self.broker.ack)(tag)
        self._seen[f"ingest {ingested}"] += 1

    async def replay_at_once(self, letter_id: UUID) -> int:
        """Two operators replay one dead letter at one time; how many were let."""
        return sum(await asyncio.gather(self.replay(letter_id), self.replay(letter_id)))

    async def replay(self, letter_id: UUID) -> bool:
        """Whether it was let."""
        try:
            await replay(self.records.database, letter_id, "test", lambda: CATALOGUE)
        except ReplayRefusedError:
            return False
        return True

    async def replay_and_delete(self, letter_id: UUID, job_id: UUID) -> tuple[bool, bool]:
        """At one time; which of them took effect."""
        replayed, deleted = await asyncio.gather(self.replay(letter_id), self.delete(job_id))
        return replayed, deleted

    async def draw_line(self, job_id: UUID) -> None:
        """Age a job and commit retention's line after it, with a crash before the removal."""
        await self._age(job_id)
        async with self.records.database.transaction() as connection:
            await advance_purge(connection, _age_to_retire(job_id))

    async def purge(self, job_id: UUID) -> None:
        """Age a job and let retention remove it, and its letters later if that is allowed."""
        await self._age(job_id)
        await PurgeJobs(self.records.database, _age_to_retire(job_id)).run_once()
        left = {job.id for job in (await self.records.observe()).jobs}
        gone = self.aged - left - self.purged
        self.purged |= gone
        for each in gone:
            await self.records.let("letters_be_old", job_id=each)
        if gone:
            await PruneLetters(self.records.database, timedelta(days=20)).run_once()

    async def _age(self, job_id: UUID) -> None:
        self.aged.add(job_id)
        await self.records.let("end_be_long_ago", job_id=job_id)

    async def end(self) -> None:
        for worker in list(self.workers):
            await self.kill(worker)
        await self.records.forget_everything()


def _age_to_retire(job_id: UUID) -> timedelta:
    """Put the line of retention after this job's id, and before the next one's."""
    line = milliseconds_of(job_id) + A_MINUTE / 2
    return timedelta(milliseconds=time.time() * 1000 - line)


def _how_it_died(message: Message) -> str:
    deaths = message.headers.get("x-death")
    return deaths[0]["reason"] if deaths else "buried"
