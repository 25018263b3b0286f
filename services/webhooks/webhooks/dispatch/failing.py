"""Standing endpoints that do nothing but fail: operators are warned, and then they are disabled."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

import structlog

from chassis.postgres import Connection
from darkroom_contracts.states import DeliveryOutcome
from webhooks.dispatch import store
from webhooks.dispatch.records import Completion, EndpointOutcome

log = structlog.get_logger()

DISABLE_AFTER_HOURS = 120
WARN_AFTER_HOURS = DISABLE_AFTER_HOURS // 2


async def note_outcomes(connection: Connection, completions: Sequence[Completion]) -> None:
    """Note what attempts showed of their endpoints, in the transaction that records them."""
    outcomes = outcomes_of(completions)
    if not outcomes:
        return
    for alarm in await store.note_outcomes(connection, outcomes, WARN_AFTER_HOURS, DISABLE_AFTER_HOURS):
        what = "webhook endpoint was disabled" if alarm.disabled else "webhook endpoint does nothing but fail"
        log.warning(what, endpoint_id=str(alarm.endpoint_id), reason=alarm.reason)


def outcomes_of(completions: Sequence[Completion]) -> list[EndpointOutcome]:
    """Return what is to be noted of standing endpoints. A success of one that works changes nothing."""
    by_endpoint: defaultdict[UUID, list[Completion]] = defaultdict(list)
    for completion in completions:
        if not completion.endpoint.implicit:
            by_endpoint[completion.endpoint.id].append(completion)
    outcomes = [_outcome_of(endpoint_id, group) for endpoint_id, group in by_endpoint.items()]
    return [outcome for outcome in outcomes if outcome is not None]


def _outcome_of(endpoint_id: UUID, completions: Sequence[Completion]) -> EndpointOutcome | None:
    works = any(each.outcome is DeliveryOutcome.SUCCEEDED for each in completions)
    failures = [each for each in completions if each.outcome is DeliveryOutcome.FAILED]
    if any(each.gone for each in failures):
        return EndpointOutcome(endpoint_id=endpoint_id, works=False, gone=True)
    if works:
        was_failing = any(each.endpoint.failing for each in completions)
        return EndpointOutcome(endpoint_id=endpoint_id, works=True) if was_failing else None
    return EndpointOutcome(endpoint_id=endpoint_id, works=False, error=failures[-1].error) if failures else None
