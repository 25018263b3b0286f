"""How the deliveries of an endpoint went."""

from collections.abc import Mapping
from datetime import timedelta

from chassis.auth import Caller
from chassis.postgres import Database
from darkroom_contracts.api.webhook_endpoints import MAX_COUNTED, WebhookEndpointStats
from darkroom_contracts.states import DeliveryOutcome, DeliveryStatus
from webhooks.registry import store
from webhooks.registry.lookup import find_endpoint
from webhooks.registry.records import Counts

PERIOD = timedelta(hours=24)


class Statistics:
    """The use case of `get_endpoint_stats`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, caller: Caller, reference: str) -> WebhookEndpointStats:
        """Count the newest deliveries of an endpoint, at a bounded cost. Raises ProblemError, 404."""
        async with self._database.index_walk() as connection:
            endpoint = await find_endpoint(connection, caller, reference)
            counts = await store.count_deliveries(connection, endpoint.id, PERIOD, MAX_COUNTED)
        return _stats(counts)


def _stats(counts: Counts) -> WebhookEndpointStats:
    (delivery_p50, delivery_p95), (attempt_p50, attempt_p95) = counts.delivery_ms, counts.attempt_ms
    return WebhookEndpointStats(
        since=counts.since,
        deliveries={status: counts.deliveries.get(status, 0) for status in DeliveryStatus},
        attempts={outcome: counts.attempts.get(outcome, 0) for outcome in DeliveryOutcome},
        success_share=_success_share(counts.deliveries),
        delivery_ms_p50=delivery_p50,
        delivery_ms_p95=delivery_p95,
        attempt_ms_p50=attempt_p50,
        attempt_ms_p95=attempt_p95,
        oldest_pending_at=counts.oldest_pending_at,
    )


def _success_share(deliveries: Mapping[str, int]) -> float | None:
    succeeded, failed = (deliveries.get(status, 0) for status in (DeliveryStatus.SUCCEEDED, DeliveryStatus.FAILED))
    return succeeded / (succeeded + failed) if succeeded + failed else None
