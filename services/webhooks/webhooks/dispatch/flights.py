"""Deliveries in flight: each is sent, judged and completed in a task of its own."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TypeAlias
from uuid import UUID

import structlog
from msgspec.structs import replace

from chassis.backoff import Backoff
from chassis.errors import DatabaseError
from chassis.targets import Policy, Target, TargetRefusedError, parse_target
from darkroom_contracts.states import DeliveryOutcome
from webhooks import metrics
from webhooks.dispatch.allotment import InFlight, Limits, Standing, Trust
from webhooks.dispatch.circuits import Circuits
from webhooks.dispatch.completing import Completer
from webhooks.dispatch.records import Delivery, Destination, Share, destination_of
from webhooks.dispatch.signing import signed_headers
from webhooks.dispatch.verdict import Verdict, judge, unsignable
from webhooks.secrets import MasterKeyError, MasterKeys
from webhooks.sending.outcome import Failure, FailureKind, Outcome, Timings

log = structlog.get_logger()

DRAIN_SECONDS = 20.0
"""Longer than a receiver may take. Attempts that are not completed by then are repeated by another process."""
FAILURES_IN_A_ROW = 5
"""After that a tenant's deliveries to an origin are only probed."""
LONGEST_SLOWING_SECONDS = 60.0
"""The longest that one answer can slow an origin for all tenants; its own delivery waits as long as it asks for."""
MOST_PROVEN = 10_000
"""Uses whose last attempt is known to have worked; beyond that the oldest is forgotten."""

Use: TypeAlias = tuple[UUID, str]
"""A tenant and an origin that it sends to."""


class Sends(Protocol):
    """Sends a request. Never raises for what a receiver does."""

    async def send(self, target: Target, headers: Mapping[str, str], body: bytes) -> Outcome: ...


class Flights:
    """The deliveries that this process has in flight, and what it learned of their receivers."""

    def __init__(
        self,
        sender: Sends,
        policy: Policy,
        keys: MasterKeys,
        completer: Completer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.in_flight = InFlight()
        self.landed: Callable[[], None] = lambda: None
        """Called after each delivery."""
        self.proved: Callable[[Destination], None] = lambda _: None
        """Called with the destination of the first delivery of a use that worked."""
        self._sender = sender
        self._policy = policy
        self._keys = keys
        self._completer = completer
        self._tasks: set[asyncio.Task[None]] = set()
        self._proven: dict[Use, None] = {}
        self._uses: Circuits[Use] = Circuits(Backoff(5, 60), threshold=FAILURES_IN_A_ROW, clock=clock)
        self._origins: Circuits[str] = Circuits(Backoff(1, LONGEST_SLOWING_SECONDS), clock=clock)
        self._way_out: Circuits[None] = Circuits(Backoff(1, 60), clock=clock)
        for kind, circuits in (("tenant", self._uses), ("origin", self._origins)):
            metrics.OPEN_CIRCUITS.labels(kind).set_function(circuits.count_open)  # when it is read: it looks at all

    def start(self, delivery: Delivery) -> None:
        """Send a claimed delivery."""
        trust = self._trust(_use_of(delivery), delivery.endpoint.failing or delivery.failures > 0)
        self._count(delivery, 1, trust)
        task = asyncio.create_task(self._fly(delivery, trust))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def standing_of(self, destination: Destination) -> Standing:
        """Return what is known of a destination. One delivery at a time, until an attempt works."""
        use = (destination.tenant_id, destination.origin)
        trust = self.trust_in(destination)
        rooms = [self._uses.room(use), self._origins.room(destination.origin), None if trust is Trust.WORKED else 1]
        return Standing(min((room for room in rooms if room is not None), default=None), trust)

    def trust_in(self, destination: Destination) -> Trust:
        """Return what is known of the destination's use: by this process, otherwise from the log."""
        return self._trust((destination.tenant_id, destination.origin), destination.failing)

    def is_proven(self, destination: Destination) -> bool:
        """Return whether the last attempt of the destination's use worked."""
        return self.trust_in(destination) is Trust.WORKED

    def proven(self, destinations: Iterable[Destination]) -> list[Destination]:
        """Return those of the destinations that `is_proven` holds for."""
        return [each for each in destinations if self.is_proven(each)]

    @contextmanager
    def reserved(self, shares: Iterable[Share]) -> Iterator[None]:
        """Count shares as in flight while they are being claimed."""
        counts = [(each.destination, each.at_most, self.trust_in(each.destination)) for each in shares]
        for destination, count, trust in counts:
            self.in_flight.add(destination.tenant_id, destination.origin, count, trust=trust)
        try:
            yield
        finally:
            for destination, count, trust in counts:
                self.in_flight.add(destination.tenant_id, destination.origin, -count, trust=trust)

    def narrowed(self, limits: Limits) -> Limits:
        """Return the limits while nothing can be sent to anybody, because the proxy is away: a probe at a time."""
        room = self._way_out.room(None)
        return limits if room is None else replace(limits, total=min(room, limits.total))

    def skipped_seconds(self, destination: Destination) -> float | None:
        """Return for how long a destination's receiver has not worked; None unless it is skipped for that."""
        use = (destination.tenant_id, destination.origin)
        seconds = (self._uses.open_seconds(use), self._origins.open_seconds(destination.origin))
        return max((each for each in seconds if each is not None), default=None)

    async def drain(self) -> None:
        """Wait until the deliveries in flight are completed, for a bounded time."""
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=DRAIN_SECONDS)
            for task in unfinished:
                task.cancel()

    def _trust(self, use: Use, failing: bool) -> Trust:
        if use in self._proven:
            return Trust.WORKED
        return Trust.FAILED if failing or self._uses.has_failed(use) else Trust.UNKNOWN

    async def _fly(self, delivery: Delivery, trust: Trust) -> None:
        try:
            verdict = await self._attempt(delivery)
            self._learn(delivery, verdict)
            await self._complete(verdict)
        except Exception:
            log.exception("webhook attempt failed; it is repeated when its lease expires", delivery_id=str(delivery.id))
        finally:
            self._count(delivery, -1, trust)
            self.landed()

    async def _attempt(self, delivery: Delivery) -> Verdict:
        try:
            target = parse_target(delivery.url, self._policy)
            headers = signed_headers(delivery, self._keys)
        except TargetRefusedError as error:
            return judge(delivery, Failure(FailureKind.DENIED, f"The URL {error}.", Timings()))
        except MasterKeyError as error:
            _report_unsignable(delivery, error)
            return unsignable(delivery)
        return judge(delivery, await self._sender.send(target, headers, delivery.body))

    async def _complete(self, verdict: Verdict) -> None:
        completion = verdict.completion
        try:
            if not await self._completer.complete(completion):
                log.warning("webhook attempt lost its lease", delivery_id=str(completion.id), number=completion.number)
        except DatabaseError as error:
            log.warning("webhook attempt not recorded", delivery_id=str(completion.id), error=repr(error))

    def _learn(self, delivery: Delivery, verdict: Verdict) -> None:
        use = _use_of(delivery)
        if verdict.works:
            if use not in self._proven:
                self.proved(destination_of(delivery))
            self._prove(use)
            self._uses.worked(use)
            if self._origins.room(delivery.origin) != 0:  # what was in flight when it asked for less is not a probe
                self._origins.worked(delivery.origin)
        elif verdict.works is False:
            self._proven.pop(use, None)
            self._uses.failed(use)
        if verdict.got_out:
            self._way_out.worked(None)
        elif verdict.got_out is False:
            self._way_out.failed(None)
        if verdict.slows:
            self._origins.failed(delivery.origin, min(verdict.retry_after, LONGEST_SLOWING_SECONDS))
        _measure(delivery, verdict)

    def _prove(self, use: Use) -> None:
        """Remember that an attempt worked, for a bounded number of uses."""
        self._proven.pop(use, None)
        self._proven[use] = None
        if len(self._proven) > MOST_PROVEN:
            del self._proven[next(iter(self._proven))]

    def _count(self, delivery: Delivery, count: int, trust: Trust) -> None:
        self.in_flight.add(delivery.endpoint.tenant_id, delivery.origin, count, trust=trust)
        metrics.IN_FLIGHT.inc(count)


def _use_of(delivery: Delivery) -> Use:
    return delivery.endpoint.tenant_id, delivery.origin


def _report_unsignable(delivery: Delivery, error: MasterKeyError) -> None:
    log.error("webhook can't be signed", endpoint_id=str(delivery.endpoint.id), error=str(error))


def _measure(delivery: Delivery, verdict: Verdict) -> None:
    completion = verdict.completion
    status = f"{completion.status_code // 100}xx" if completion.status_code else "none"
    metrics.ATTEMPTS.labels(completion.outcome, status).inc()
    if completion.outcome is not DeliveryOutcome.RELEASED:
        metrics.ATTEMPT_SECONDS.observe((completion.total_ms or 0) / 1000)
    if completion.outcome is DeliveryOutcome.SUCCEEDED and delivery.number == 1:
        metrics.LATENCY.observe(max(0.0, time.time() - delivery.created_at.timestamp()))
