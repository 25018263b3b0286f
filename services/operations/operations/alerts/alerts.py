"""Open and resolve alerts, in the transaction that found their cause."""

from datetime import datetime
from typing import Any

import structlog

from chassis.postgres import Connection
from darkroom_contracts.webhooks import OperatorEvent
from operations.alerts import store
from operations.alerts.links import link_to
from operations.metrics import ALERTS_OPENED

log = structlog.get_logger()


class Alerts:
    """Tells operators of each alert once when it opens and once when it is resolved, whichever process finds it."""

    def __init__(self, origin: str) -> None:
        """`origin` precedes the paths of links; empty without a public URL."""
        self._origin = origin

    async def open(self, connection: Connection, kind: OperatorEvent, subject: str, data: dict[str, Any]) -> bool:
        """Open an alert. Return False, and do nothing, if one of its kind and subject is open."""
        opened_at = await store.open_alert(connection, kind, subject, data)
        if opened_at is None:
            return False
        await store.tell_operators(connection, kind, self._message(kind, subject, data, opened_at, None))
        ALERTS_OPENED.labels(kind).inc()
        log.warning("alert opened", kind=kind, subject=subject)
        return True

    async def resolve(self, connection: Connection, kind: OperatorEvent, subject: str) -> bool:
        """Resolve an alert. Return False, and do nothing, if none is open."""
        resolved = await store.resolve_alert(connection, kind, subject)
        if resolved is None:
            return False
        data, opened_at, resolved_at = resolved
        await store.tell_operators(connection, kind, self._message(kind, subject, data, opened_at, resolved_at))
        log.info("alert resolved", kind=kind, subject=subject)
        return True

    def _message(
        self, kind: OperatorEvent, subject: str, data: dict[str, Any], opened_at: datetime, resolved_at: datetime | None
    ) -> dict[str, Any]:
        return {
            "subject": subject,
            "link": link_to(self._origin, kind, subject),
            "opened_at": opened_at,
            "resolved_at": resolved_at,
            **data,
        }
