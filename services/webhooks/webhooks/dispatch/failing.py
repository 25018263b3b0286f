"""Standing endpoints that do nothing but fail: operators are warned, and then they are disabled."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog

from chassis.postgres import Connection
from darkroom_contracts.states import DeliveryOutcome
from webhooks.dispatch import store
from webhooks.dispatch.records import Completion, EndpointOutcome

log = structlog.get_logger()

DISABLE_AFTER_HOURS = 120
WARN_AFTER_HOURS = DISABLE_AFTER_HOURS // 2
CONFIRMED_SECONDS = 3600.0
"""For so long this process must have seen an endpoint fail: while no dispatcher ran, nothing could succeed."""
MOST_KEPT = 10_000
"""Failing endpoints that are remembered; beyond that the one that was tried longest ago is forgotten."""


class FailingEndpoints:
    """Since when this process has seen standing endpoints do nothing but fail."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen_since: dict[UUID, float] = {}

    async def note(self, connection: Connection, completions: Sequence[Completion]) -> None:
        """Note what attempts showed of their endpoints, in the transaction that records them."""
        outcomes = self.outcomes_of(completions)
        if not outcomes:
            return
        for alarm in await store.note_outcomes(connection, outcomes, WARN_AFTER_HOURS, DISABLE_AFTER_HOURS):
            what = "webhook endpoint was disabled" if alarm.disabled else "webhook endpoint does nothing but fail"
            log.warning(what, endpoint_id=str(alarm.endpoint_id), reason=alarm.reason)

    def outcomes_of(self, completions: Sequence[Completion]) -> list[EndpointOutcome]:
        """Return what is to be noted. A success of an endpoint that works changes nothing."""
        by_receiver: defaultdict[tuple[UUID, str | None], list[Completion]] = defaultdict(list)
        for completion in completions:
            if not completion.endpoint.implicit:
                by_receiver[completion.endpoint.id, completion.endpoint.url].append(completion)
        outcomes = [self._outcome_of(*receiver, group) for receiver, group in by_receiver.items()]
        return [outcome for outcome in outcomes if outcome is not None]

    def _outcome_of(
        self, endpoint_id: UUID, url: str | None, completions: Sequence[Completion]
    ) -> EndpointOutcome | None:
        works = any(each.outcome is DeliveryOutcome.SUCCEEDED for each in completions)
        failures = [each for each in completions if each.outcome is DeliveryOutcome.FAILED]
        if any(each.gone for each in failures):
            return EndpointOutcome(endpoint_id=endpoint_id, url=url, works=False, gone=True)
        if works:
            self._seen_since.pop(endpoint_id, None)
            was_failing = any(each.endpoint.failing for each in completions)
            return EndpointOutcome(endpoint_id=endpoint_id, url=url, works=True) if was_failing else None
        if not failures:
            return None
        confirmed = self._is_confirmed(endpoint_id)
        return EndpointOutcome(
            endpoint_id=endpoint_id, url=url, works=False, confirmed=confirmed, error=failures[-1].error
        )

    def _is_confirmed(self, endpoint_id: UUID) -> bool:
        """Note a failure, and return whether the first one without a success since was long ago."""
        since = self._seen_since.pop(endpoint_id, self._clock())
        self._seen_since[endpoint_id] = since
        if len(self._seen_since) > MOST_KEPT:
            del self._seen_since[next(iter(self._seen_since))]
        return self._clock() - since >= CONFIRMED_SECONDS
