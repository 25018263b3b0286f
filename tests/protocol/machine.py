"""The machine's frame: one step at a time, everything checked after each, and a fair ending."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Sequence, Set
from typing import Any, TypeVar

from darkroom_contracts.webhooks import WebhookEvent
from tests.protocol.events import PICK, event, number, one_of, several
from tests.protocol.fairness import go_on, let_everything_end
from tests.protocol.invariants import BrokenPromiseError, breaches_of
from tests.protocol.records import Records
from tests.protocol.snapshot import Snapshot
from tests.protocol.world import World

T = TypeVar("T")

WEBHOOK_EVENTS = tuple(WebhookEvent)
EVENTS = one_of((), WEBHOOK_EVENTS[:1], WEBHOOK_EVENTS[1:], WEBHOOK_EVENTS)
"""The webhook events that a submitter asks for."""


class Stage:
    """What all runs of a test share: an event loop, a prepared database, and a count of what happened."""

    def __init__(self, runner: asyncio.Runner, records: Records, complaints: list[Any]) -> None:
        self.runner = runner
        self.records = records
        self.complaints = complaints
        """What the product logged as an error: nothing here may surprise it."""
        self.seen: Counter[str] = Counter()
        self.steps = 0

    @property
    def reached(self) -> Set[str]:
        """What happened at least once."""
        return (+self.seen).keys()

    def notice(self, before: Snapshot, now: Snapshot) -> None:
        """Count what a step brought about."""
        self.steps += 1
        self.seen.update(f"{change.old_status} -> {change.status}" for change in now.ledger[len(before.ledger) :])
        known = {row.lease_token: row.outcome for row in before.attempts}
        self.seen.update(f"attempt {row.outcome}" for row in now.attempts if row.outcome != known.get(row.lease_token))


class Frame:
    """Events call `step` with what happens. `now` is the database as it stands after the latest step."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.world = World(stage.records, stage.seen)
        self.now = Snapshot()
        self.begun = False

    @event(1, lambda self: not self.begun, jobs=number(1, 3), events=EVENTS)
    def two_workers_and_some_jobs(self, jobs: int, events: tuple[str, ...]) -> None:
        self.begun = True
        for name in ("a", "b"):
            self.step(self.world.start_worker(name))
        self.step(self.world.submit(jobs, events))

    @event(9, lambda self: True, moves=several(PICK, 4))
    def all_goes_well_for_a_while(self, moves: list[int]) -> None:
        """Messages travel and workers get on, so that there is something to disturb."""
        for index in moves:
            if self.now.outbox:
                self.step(self.world.run_relay())
            elif go_on(self.world, index):
                self.let_follow()
            self.all_promises_hold()

    def step(self, happening: Awaitable[T]) -> T:
        """Let something happen, and everything that follows from it without the test's doing."""
        return self.stage.runner.run(self._step(happening))

    def let_follow(self) -> None:
        """See what follows from what the test just did."""
        self.step(asyncio.sleep(0))

    async def _step(self, happening: Awaitable[T]) -> T:
        result = await happening
        await self.world.settle()
        before, self.now = self.now, await self.stage.records.observe()
        self.stage.notice(before, self.now)
        return result

    def pick(self, index: int, things: Sequence[T]) -> T:
        return things[index % len(things)]

    def is_as(self, before: Snapshot) -> bool:
        """Whether nothing changed, but for what time alone changes."""
        return self.now.state == before.state

    def promise(self, holds: bool, breach: str) -> None:
        """Raise BrokenPromiseError with the breach unless the promise holds."""
        if not holds:
            raise BrokenPromiseError(breach)

    def all_promises_hold(self) -> None:
        breaches = [*breaches_of(self.now, self.world), *map(str, self.stage.complaints)]
        self.promise(not breaches, "; ".join(breaches))

    def come_to_the_end(self) -> None:
        self.step(let_everything_end(self.world))
        self.all_promises_hold()

    def clear_away(self) -> None:
        self.stage.complaints.clear()
        self.stage.runner.run(self.world.end())
