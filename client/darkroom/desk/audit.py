"""The audit log: what operators did."""

from collections.abc import Iterator
from datetime import datetime

from darkroom.transport import Transport
from darkroom_contracts.api.audit import MAX_ENTRIES, AuditEntry, AuditList, AuditQuery
from darkroom_contracts.routes.keys import READ_AUDIT


class Audit:
    """The audit log, for an observer's or an operator's key.

    Every method raises UnreachableError and ApiError.
    """

    def __init__(self, api: Transport) -> None:
        self._api = api

    def list(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        subject: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[AuditEntry]:
        """Yield the entries that match, the newest first. Pages are requested as they are needed.

        `since` is part of the time, `until` is not.
        """
        query = AuditQuery(
            actor=actor,
            action=action,
            subject=subject,
            created_after=since,
            created_before=until,
            limit=MAX_ENTRIES,
        )
        for page in self._api.pages(READ_AUDIT, AuditList, query):
            yield from page.entries
