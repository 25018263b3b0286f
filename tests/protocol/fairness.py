"""A world without faults, and with all the time it needs: every job must come to its end in it."""

from collections.abc import Callable, Iterator
from functools import partial

from tests.protocol.broker import in_order
from tests.protocol.invariants import BrokenPromiseError
from tests.protocol.puppets import Ending
from tests.protocol.snapshot import Snapshot
from tests.protocol.strings import Answer, Pause
from tests.protocol.worker import Worker
from tests.protocol.world import World

MOST_ROUNDS = 8
"""A job may need one round each to be freed, delivered, rendered and reported; the others are for dead letters."""
MOST_MOVES = 400
"""A message is delivered in three moves and a job rendered in six, so this bound is generous."""
FAIR = {
    "claim": Answer.HEARD,
    "rendered claim": Answer.HEARD,
    "look": Answer.HEARD,
    "note": Answer.HEARD,
    "heartbeat": Answer.HEARD,
    "settle": Answer.HEARD,
    "render": Ending.DONE,
    "upload": True,
    "ack": None,
    "reject": None,
    "fetch": None,
}
QUICK = FAIR.keys() - {"render"}


async def let_everything_end(world: World) -> None:
    """Play to the end. Raises BrokenPromiseError when a job does not end or a message keeps moving."""
    world.broker.faults.clear()
    for _ in range(MOST_ROUNDS):
        if await _is_at_rest(world):
            return
        await _resume(world)
        await _work(world)
        await _let_time_pass(world)
        await _sweep(world)
    raise BrokenPromiseError(
        f"no rest after {MOST_ROUNDS} fair rounds: {await world.records.observe()}, {world.broker}"
    )


async def _is_at_rest(world: World) -> bool:
    now = await world.records.observe()
    return not (now.having("queued", "running") or now.outbox or world.whereabouts() or world.pauses(*FAIR))


async def _resume(world: World) -> None:
    await world.records.let("model_be_resumed")
    for worker in world.workers:
        await worker.beat()


async def _work(world: World) -> None:
    """Workers take and finish whatever there is."""
    if not any(worker.listens for worker in world.workers):
        await world.start_worker("c")
    for _ in range(MOST_MOVES):
        await world.settle()
        if not go_on(world):
            return
    raise BrokenPromiseError(f"the workers are not done after {MOST_MOVES} moves")


def go_on(world: World, index: int = 0) -> bool:
    """Make one of the moves that nothing stands in the way of; a render takes longest. Whether there was one."""
    moves = [*_ends(world, *QUICK), *_deliveries(world)] or [*_ends(world, "render")]
    if moves:
        moves[index % len(moves)]()
    return bool(moves)


def _ends(world: World, *kinds: str) -> Iterator[Callable[[], None]]:
    for worker, pause in world.pauses(*kinds):
        yield partial(pause.end, _fair_end(worker, pause))


def _deliveries(world: World) -> Iterator[Callable[[], None]]:
    for worker in world.workers:
        if worker.process.ready is None:
            yield worker.restart_process
        elif worker.listens:
            yield from (partial(worker.line.deliver, message) for message in in_order(world.broker.work))


def _fair_end(worker: Worker, pause: Pause) -> object:
    if pause.kind == "render" and worker.process.told_to_abort:
        return Ending.ABORTED
    return FAIR[pause.kind]


async def _let_time_pass(world: World) -> None:
    """Nobody works on anything now: what is leased is orphaned, and what the broker does not hold is overdue."""
    now = await world.records.observe()
    for job in now.having("running"):
        await world.records.let("lease_run_out", job_id=job.id)
    for job in now.having("queued"):
        await world.records.let("wait_be_over", job_id=job.id)
        if _is_lost(job.key, now, world):
            await world.records.let("queue_be_found_empty")
            await world.records.let("republish_be_due", job_id=job.id)
    for message in in_order(world.broker.waiting):
        world.broker.end_wait(message)


def _is_lost(key: object, now: Snapshot, world: World) -> bool:
    return key not in world.whereabouts() | {(row.job_id, row.generation) for row in now.outbox}


async def _sweep(world: World) -> None:
    for sweep in (world.rescue, world.expire, world.republish):
        await sweep.run_once()
    for message in in_order(world.broker.dead):
        await world.ingest(message)
    await world.run_relay()
