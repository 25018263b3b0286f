"""Bounds on what a tenant can make the service do: a rate for each kind of act, which all processes share.

The generic cell rate algorithm (ITU-T I.371): a tenant may do an hour's acts at once, and then one whenever its part of
the hour has passed. The state is one moment, in Postgres, so that restarts and further processes change nothing.
"""

import math
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from chassis.postgres import Connection
from chassis.problems import ProblemError
from darkroom_contracts.errors import ApiError
from webhooks import metrics
from webhooks.registry import store

HOUR = timedelta(hours=1)


class Act(StrEnum):
    """What is bounded."""

    CREATE = "create"
    """An endpoint is created. When it is deleted, its row stays for a while, and so could pile up."""
    RECOVER = "recover"
    """A request makes the deliveries of an endpoint due again, thousands at the most."""
    REDELIVER = "redeliver"
    """A delivery is sent again, and has one more attempt in the log."""
    TEST = "test"
    """A test event is sent: a request to any address, without a job."""


class Allowances:
    """What every tenant may do in an hour."""

    def __init__(self, per_hour: Mapping[Act, int]) -> None:
        self._per_hour = per_hour

    async def spend(self, connection: Connection, tenant_id: UUID, act: Act) -> None:
        """Count an act, in a transaction that also does it. Raises ProblemError: 429 with Retry-After.

        Other transactions of the tenant that do the same wait for the end of this one.
        """
        at_once = self._per_hour[act]
        wait = await store.spend_allowance(connection, tenant_id, act, HOUR / at_once, at_once)
        if wait is not None:
            metrics.RATE_LIMITED.labels(act).inc()
            raise _refusal(act, at_once, max(1, math.ceil(wait.total_seconds())))


_DONE = {
    Act.CREATE: "webhook endpoints were created",
    Act.RECOVER: "recoveries were requested",
    Act.REDELIVER: "deliveries were sent again",
    Act.TEST: "test events were sent",
}


def _refusal(act: Act, per_hour: int, seconds: int) -> ProblemError:
    return ProblemError(
        ApiError.RATE_LIMITED,
        f"Too many {_DONE[act]}: a tenant may do {per_hour} an hour. Try again after {seconds} s.",
        headers={"Retry-After": str(seconds)},
    )
