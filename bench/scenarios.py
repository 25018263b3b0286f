"""The loads that are measured, on one stack or on several stacks in turn."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import asyncpg
import msgspec

from bench.backlogs import Backlog, drain, fill, job_paths
from bench.load import Figures, Request, measure, write_paths
from bench.measures import cpu_seconds, request
from bench.plan import Plan
from bench.progress import Progress, silent
from bench.stack import MODEL, Target

BODY = request(MODEL, steps=20)
MOST_PATHS = 50_000
REFILLED = 10_000
"""Largest backlog that is filled again after each load of submissions, which multiplies its length."""

Rounds = Mapping[str, Sequence[Figures]]
"""Figures of each round by scenario."""


class Side:
    """A stack under load."""

    def __init__(self, name: str, target: Target, database: asyncpg.Connection, folder: Path) -> None:
        self.name = name
        self.target = target
        self.database = database
        self.accepted = 0
        """Number of jobs accepted so far."""
        self._folder = folder

    async def prepare(self, backlog: Backlog, progress: Progress) -> None:
        """Fill the database and write the files with the paths of jobs to request."""
        await fill(self.database, backlog, progress)
        for kind, paths in (await job_paths(self.database, MOST_PATHS)).items():
            write_paths(self.paths(kind), paths)

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of all processes of the stack, its supervisor included, which writes the logs."""
        supervisor = self.target.supervisor
        return cpu_seconds(supervisor.own_pid())

    def paths(self, kind: str) -> Path:
        """Return the file with the paths of `queued` or `succeeded` jobs."""
        return self._folder / f"{self.name}-{kind}.paths"


class Scenario(msgspec.Struct, frozen=True):
    """A named load."""

    name: str
    run: Callable[[Side, int], Awaitable[Figures]]
    """Run the load on a side for a number of seconds."""
    submits: bool = False


def submit(name: str, *, edge: bool) -> Scenario:
    """Return a load of POST /v1/jobs with distinct Idempotency-Keys, which ends when all jobs are published."""

    async def run(side: Side, seconds: int) -> Figures:
        origin = side.target.edge if edge else side.target.gateway
        wanted = Request(url=f"{origin}/v1/jobs", key=side.target.key, body=BODY, distinct_keys=True)
        used = side.cpu_seconds()
        figures = measure(wanted, seconds)
        side.accepted += figures.requests
        drained = await drain(side.database)
        return msgspec.structs.replace(figures, drain=drained, cpu_seconds=side.cpu_seconds() - used)

    return Scenario(name, run, submits=True)


def look_up(name: str, kind: str, *, edge: bool) -> Scenario:
    """Return a load of GET /v1/jobs/{id} with distinct ids."""

    async def run(side: Side, seconds: int) -> Figures:
        origin = side.target.edge if edge else side.target.status
        used = side.cpu_seconds()
        figures = measure(Request(url=origin, key=side.target.key, paths=side.paths(kind)), seconds)
        return msgspec.structs.replace(figures, cpu_seconds=side.cpu_seconds() - used)

    return Scenario(name, run)


def echoed(name: str, url: str, body: bytes | None = None) -> Scenario:
    """Return a load of the baseline server, the same for every side."""

    async def run(side: Side, seconds: int) -> Figures:
        return measure(Request(url=url, body=body), seconds)

    return Scenario(name, run)


QUEUED, SUCCEEDED = "GET a job deep in the queue", "GET a finished job"
POST = "POST /v1/jobs, committed"
AT_THE_EDGE = ", through the edge"

# Submissions come last, so that the backlog has its length during the other loads.
SCENARIOS = (
    look_up(QUEUED, "queued", edge=False),
    look_up(SUCCEEDED, "succeeded", edge=False),
    look_up(QUEUED + AT_THE_EDGE, "queued", edge=True),
    look_up(SUCCEEDED + AT_THE_EDGE, "succeeded", edge=True),
    submit(POST, edge=False),
    submit(POST + AT_THE_EDGE, edge=True),
)


async def warm_up(sides: Sequence[Side], plan: Plan) -> None:
    """Run every load for a second, so that no round includes the cost of first connections."""
    for side in sides:
        await side.prepare(_backlog(plan, REFILLED), silent)
        for scenario in SCENARIOS:
            await scenario.run(side, 1)


async def measure_backlog(
    sides: Sequence[Side], queued: int, plan: Plan, progress: Progress, scenarios: Sequence[Scenario] = SCENARIOS
) -> dict[str, Rounds]:
    """Run every scenario on every side in turn, `plan.rounds` times, and return the rounds by side."""
    backlog = _backlog(plan, queued)
    for side in sides:
        progress(f"{side.name}: filling the database, {queued:,} jobs queued")
        await side.prepare(backlog, progress)
    rounds: dict[str, dict[str, list[Figures]]] = {side.name: {} for side in sides}
    for number in range(plan.rounds):
        for scenario, side in in_turn(scenarios, sides, number):
            figures = await scenario.run(side, plan.seconds)
            progress(f"round {number + 1} of {plan.rounds}: {side.name}: {scenario.name}: {describe(figures)}")
            rounds[side.name].setdefault(scenario.name, []).append(figures)
            if scenario.submits and queued <= REFILLED:
                await side.prepare(backlog, silent)
    return dict(rounds)


def in_turn(scenarios: Sequence[Scenario], sides: Sequence[Side], number: int) -> list[tuple[Scenario, Side]]:
    """Return the order of a round. The sides follow each other directly, A B in even rounds and B A in odd ones."""
    order = sides if number % 2 == 0 else sides[::-1]
    return [(scenario, side) for scenario in scenarios for side in order]


def describe(figures: Figures) -> str:
    """Return one line of text for a load."""
    text = f"{figures.rate:,.0f}/s, p50 {figures.p50_ms:.1f} ms, p99 {figures.p99_ms:.1f} ms"
    if figures.cpu_seconds is not None:
        text += f", {figures.cpu_ms:.2f} ms of CPU each"
    if figures.drain is None:
        return text
    return f"{text}; {figures.published:,.0f}/s published, {figures.drain.depth:,} left in the outbox"


def _backlog(plan: Plan, queued: int) -> Backlog:
    return Backlog(model=MODEL, queued=queued, succeeded=plan.succeeded)
