"""The step `dispose`: decide what becomes of a message."""

from datetime import timedelta
from typing import Protocol

from darkroom_contracts.messages import RenderMessage
from darkroom_contracts.states import JobStatus
from darkroom_contracts.topology import Lane
from gpu_consumer.gate import OWN_DATABASE, Gate
from gpu_consumer.job import telemetry
from gpu_consumer.job.outcome import Disposal
from gpu_consumer.job.verdict import (
    DeadLettered,
    Finding,
    Foreign,
    NotDue,
    Obsolete,
    Orphan,
    Paused,
    Settled,
    Unanswered,
)
from gpu_consumer.waiting import until_answered

FOREIGN = (
    "The queue holds messages of another database's jobs, so this worker takes none. Let DARKROOM_DATABASE_URL and"
    " DARKROOM_AMQP_URL name the parts of one stack, and start the worker again."
)


class Parks(Protocol):
    """What disposing needs of the parking."""

    async def park(self, message: RenderMessage, wait_ms: float) -> Lane | None: ...


class NotesParked(Protocol):
    """What disposing needs of the job's store."""

    async def note_parked(self, message: RenderMessage, wait: timedelta) -> None: ...


class Disposing:
    """Parks messages whose time has not come, and decides about the others."""

    def __init__(self, parking: Parks, store: NotesParked, gate: Gate) -> None:
        self._parking = parking
        self._store = store
        self._gate = gate

    async def dispose(self, finding: Finding, message: RenderMessage) -> Disposal:
        """Return what becomes of the message. Another database's message closes the gate."""
        telemetry.disposing(finding)
        match finding:
            case NotDue(wait_ms=wait_ms):
                return await self._park(message, wait_ms)
            case Paused():
                return await self._park(message, 0)
            case Foreign():
                self._gate.forbid(OWN_DATABASE, FOREIGN)
        return _disposal(finding)

    async def _park(self, message: RenderMessage, wait_ms: float) -> Disposal:
        """Let the message wait in a lane. It is acked once the lane holds a copy and the job's row says so."""
        lane = await self._parking.park(message, wait_ms)
        if lane is None:
            return Disposal.GIVE_BACK
        wait = timedelta(milliseconds=lane.ttl_ms)
        await until_answered(lambda: self._store.note_parked(message, wait))
        return Disposal.ACK


def _disposal(finding: Settled | Unanswered | DeadLettered | Orphan | Foreign | Obsolete) -> Disposal:
    match finding:
        case Settled(status=status):
            return Disposal.REJECT if status is JobStatus.FAILED else Disposal.ACK
        case DeadLettered():
            return Disposal.REJECT
        case Orphan():
            return Disposal.BURY
        case Foreign() | Unanswered():
            return Disposal.GIVE_BACK
        case Obsolete():
            return Disposal.ACK
