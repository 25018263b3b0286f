"""One life of a worker: the real consumer with puppets around it."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

from chassis.postgres import Database
from darkroom_contracts.models import load_catalogue
from darkroom_contracts.topology import topology
from gpu_consumer.gate import DATABASE, NAME, OWN_DATABASE, RENDERER, RESUMED, Gate
from gpu_consumer.job.attempt import Pipeline
from gpu_consumer.job.claiming import Claiming
from gpu_consumer.job.disposing import Disposing
from gpu_consumer.job.lease import Interruption
from gpu_consumer.job.loss_streak import LossStreak
from gpu_consumer.job.parking import Parking
from gpu_consumer.job.progress import ProgressFeed
from gpu_consumer.job.rendering import Rendering
from gpu_consumer.job.settling import Settling
from gpu_consumer.job.store import JobStore
from gpu_consumer.job.verdict import Obsolete
from gpu_consumer.renderer.renderer import Renderer
from gpu_consumer.usage import Usage
from gpu_consumer.worker.consumer import Consumer
from gpu_consumer.worker.session import EmptyAnswers, Session
from gpu_consumer.worker.store import SessionStore
from tests.protocol.broker import LANES, MODEL, Broker
from tests.protocol.puppets import (
    READY,
    PuppetLine,
    PuppetPictures,
    PuppetProcess,
    PuppetSlot,
    PuppetStore,
    PuppetStoring,
)
from tests.protocol.snapshot import Key
from tests.protocol.strings import Strings

AN_HOUR = 3600.0
CATALOGUE = load_catalogue(Path(__file__).parents[2] / "deploy" / "models.toml")
TINY = CATALOGUE.find(MODEL)


class Worker:
    """Lives from `start` until it is killed, or until it has drained."""

    def __init__(self, name: str, database: Database, broker: Broker, objects: set[str]) -> None:
        self.name = name
        self.strings = Strings()
        self.line = PuppetLine(self.strings, broker)
        self.process = PuppetProcess(self.strings)
        self.gate = Gate(NAME, RENDERER, RESUMED, DATABASE, OWN_DATABASE)
        self.losses = LossStreak()
        session_id = uuid4()
        self._sessions = SessionStore(database, name, session_id)
        self._stop = asyncio.Event()
        self._time_is_over = asyncio.Event()
        declared = topology([MODEL], LANES)
        usage = Usage()
        jobs: Any = PuppetStore(self.strings, JobStore(database, name, session_id, AN_HOUR))
        renderer = Renderer(cast(Any, self.process), self.gate, usage)
        parking = Parking(cast(Any, broker), cast(Any, broker), declared, LANES)
        pipeline = Pipeline(
            Claiming(jobs, self.gate, AN_HOUR),
            Rendering(TINY, renderer, self.gate, ProgressFeed(cast(Any, None)), AN_HOUR),
            PuppetStoring(PuppetPictures(self.strings, objects)),
            Settling(jobs, LANES),
            Disposing(parking, jobs, self.gate),
            self.losses,
        )
        self._session = Session(
            self._sessions,
            self.gate,
            EmptyAnswers(),
            lambda: None,
            model=MODEL,
            gpu_id=None,
            beat_seconds=AN_HOUR,
        )
        slots = [PuppetSlot(self.line) for _ in range(2)]
        self._consumer = Consumer(pipeline, slots, self.gate, usage, partial(self.line.declare, declared), parking.bury)

    async def start(self) -> None:
        """Free what the predecessor of this name held, then take messages."""
        await self._sessions.reap_predecessor()
        for condition in (NAME, RENDERER, RESUMED, OWN_DATABASE):
            self.gate.allow(condition)
        await self._session.open()
        self.strings.start(self._consume)

    async def _consume(self) -> None:
        """As gpu_consumer.worker.worker.Worker: a fetch under way ends before the drain begins."""
        await self._consumer.run(self._stop)
        await self._time_is_over.wait()
        await self._consumer.drain(0)

    @property
    def listens(self) -> bool:
        return self.line.listening is not None

    @property
    def claims_with_a_warm_process(self) -> bool:
        kinds = {pause.kind for pause in self.strings.pauses}
        return self.process.ready is not None and "claim" in kinds and "render" not in kinds

    @property
    def draining(self) -> bool:
        return self.gate.draining

    def hurry(self, job_id: UUID) -> None:
        """Make a heartbeat of the job due, because of the time or of a notified cancel."""
        self._consumer.hurry(job_id)

    @property
    def obeys_a_pause(self) -> bool:
        return not self.gate.holds(RESUMED)

    async def beat(self) -> None:
        """Send the session's heartbeat, and receive whether the model is paused."""
        await self._session.run_once()

    def reach_deadline(self, job_id: UUID) -> None:
        """End the timer that an attempt at this job set at its claim."""
        for attempt in self._consumer.attempts:
            if attempt.job_id == job_id:
                attempt.interrupt(Interruption.DEADLINE)

    @property
    def overtaken(self) -> list[Key]:
        """Return the jobs whose leases it lost to others: it acks their messages, unless it has pictures to settle."""
        leases = [attempt.lease for attempt in self._consumer.attempts if attempt.lease]
        lost = [lease.claimed for lease in leases if isinstance(lease.verdict, Obsolete)]
        return [(claimed.job_id, claimed.generation) for claimed in lost]

    async def close_for_its_gpu(self) -> None:
        """Different jobs lost the render process in a row: their attempts are refunded, and the worker stops."""
        self.begin_drain()
        await self._sessions.refund(self.losses.tokens)

    def begin_drain(self) -> None:
        """SIGTERM: no new message."""
        self._stop.set()
        self.gate.drain()

    @property
    def aborting(self) -> bool:
        return self._time_is_over.is_set()

    def end_drain(self) -> None:
        """End the time to drain: the running job is aborted and returned."""
        self._time_is_over.set()

    def lose_process(self) -> None:
        """Kill the render process between two renders."""
        self.process.ready = None
        self.gate.forbid(RENDERER)

    def restart_process(self) -> None:
        self.process.ready = READY
        self.gate.allow(RENDERER)

    async def kill(self) -> None:
        """SIGKILL. Its channels close, and the broker takes back what it held."""
        self.line.lose_all()
        self.line.at_hand.clear()
        await self.strings.end()
