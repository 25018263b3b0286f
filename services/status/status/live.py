"""Live progress: the steps that workers publish between two heartbeats.

It only supplements the row. Its queue is server-named, exclusive and bounded; the next step or the next heartbeat makes
up for a lost one.
"""

from uuid import UUID

import structlog
from cachetools import TTLCache
from prometheus_client import Counter

from chassis.broker import Broker
from chassis.consuming import TopicListener
from chassis.loops import Loop
from darkroom_contracts.messages.v1 import Preview, Progress, UndecodableMessageError, decode_live
from darkroom_contracts.topology import EVENTS_EXCHANGE, EXCHANGES, Topology

log = structlog.get_logger()

EVENTS = Counter("darkroom_status_events_total", "Live events by outcome: noted, preview or undecodable.", ["outcome"])

ROUTING_KEY = "job.*"
QUEUE_LENGTH = 10_000
MOST_JOBS = 10_000
REMEMBERED_SECONDS = 15.0
"""How long a step is used. After a lease without another step the row is newer."""


class LiveProgress:
    """The latest published step of each running job."""

    def __init__(self) -> None:
        self._latest: TTLCache[UUID, Progress] = TTLCache(MOST_JOBS, REMEMBERED_SECONDS)

    def note(self, body: bytes) -> None:
        """Remember a step, unless a later attempt has one: a worker that lost its lease may still render.

        Previews and undecodable messages are counted and dropped.
        """
        try:
            event = decode_live(body)
        except UndecodableMessageError:
            EVENTS.labels("undecodable").inc()
            return
        if isinstance(event, Preview):
            EVENTS.labels("preview").inc()
            return
        EVENTS.labels("noted").inc()
        latest = self._latest.get(event.job_id)
        if latest is None or (event.generation, event.attempt) >= (latest.generation, latest.attempt):
            self._latest[event.job_id] = event

    def of(self, job_id: UUID, generation: int, attempt: int) -> Progress | None:
        """Return the latest step of this attempt, if there is one."""
        progress = self._latest.get(job_id)
        if progress and (progress.generation, progress.attempt) == (generation, attempt):
            return progress
        return None


class ProgressListener(Loop):
    """Keeps a subscription to the live events; each round renews a lost one."""

    name = "progress-listener"
    interval = 2.0

    def __init__(self, broker: Broker, live: LiveProgress) -> None:
        super().__init__()
        self._broker = broker
        self._listener = TopicListener(broker, EVENTS_EXCHANGE, live.note, queue_length=QUEUE_LENGTH)

    async def run_once(self) -> bool:
        if not self._listener.is_listening:
            await self._broker.declare(Topology(EXCHANGES, (), ()))
            await self._listener.listen([ROUTING_KEY])
            log.info("listening to live events")
        return False
