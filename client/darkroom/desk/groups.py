"""Groups of dead letters of one kind, model and fingerprint."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from darkroom.transport import Transport
from darkroom_contracts.api.dead_letter_groups import (
    MAX_GROUPS,
    DeadLetterGroup,
    DeadLetterGroupDetail,
    DeadLetterGroupList,
    DeadLetterGroupQuery,
    GroupNoteRequest,
)
from darkroom_contracts.routes.dead_letter_groups import GET_GROUP, LIST_GROUPS, NOTE_GROUP


class DeadLetterGroups:
    """Groups of dead letters, with counts of 24 hours, suspects and notes.

    Every method raises UnreachableError and ApiError.
    """

    def __init__(self, api: Transport) -> None:
        self._api = api

    def list(self, query: DeadLetterGroupQuery | None = None) -> Iterator[DeadLetterGroup]:
        """Yield the groups that match, those with open dead letters first. Pages are requested as they are needed."""
        wanted = query or DeadLetterGroupQuery(limit=MAX_GROUPS)
        for page in self._api.pages(LIST_GROUPS, DeadLetterGroupList, wanted):
            yield from page.groups

    def get(self, group_id: UUID) -> DeadLetterGroupDetail:
        """Return a group, and what its dead letters have in common that other attempts have not."""
        return self._api.call(GET_GROUP, DeadLetterGroupDetail, path={"id": group_id})

    def note(self, group_id: UUID, text: str | None, known_until: datetime | None = None) -> DeadLetterGroup:
        """Write the group's note, or remove it where `text` is None. Until `known_until` the failure is expected."""
        body = GroupNoteRequest(text, known_until)
        return self._api.call(NOTE_GROUP, DeadLetterGroup, path={"id": group_id}, body=body)
