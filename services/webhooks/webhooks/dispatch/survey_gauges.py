"""The gauges of what waits, and the loud report of what can't be sent."""

from datetime import UTC, datetime
from time import monotonic
from uuid import UUID

import structlog

from webhooks import metrics
from webhooks.dispatch.flights import Flights
from webhooks.dispatch.survey import Look

log = structlog.get_logger()

UNSIGNABLE_LOG_SECONDS = 60.0


class SurveyGauges:
    """Adds up what the pages of a walk show, and sets the gauges when it ends."""

    def __init__(self, flights: Flights) -> None:
        self._flights = flights
        self._overdue = 0.0
        self._unsignable: set[UUID] = set()
        self._logged_at = float("-inf")

    def note(self, look: Look) -> None:
        """Add a page."""
        now = datetime.now(UTC)
        served = (each for each in look.page if each.ready and self._flights.skipped_seconds(each) is None)
        self._overdue = max((self._overdue, *((now - each.due_at).total_seconds() for each in served)))
        self._unsignable |= {destination.endpoint_id for destination in look.page if destination.unsignable}
        if look.ends_walk:
            self._report()

    def _report(self) -> None:
        """Report how long the oldest delivery is due, and loudly what can't be sent for want of a master key."""
        metrics.OLDEST.set(self._overdue)
        metrics.UNSIGNABLE.set(len(self._unsignable))
        if self._unsignable and monotonic() - self._logged_at >= UNSIGNABLE_LOG_SECONDS:
            self._logged_at = monotonic()
            log.error(
                "webhooks wait for a master key that is not in DARKROOM_WEBHOOKS_MASTER_KEYS; add it again",
                endpoints=len(self._unsignable),
                endpoint_id=str(min(self._unsignable)),
            )
        self._overdue = 0.0
        self._unsignable = set()
