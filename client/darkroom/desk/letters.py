"""Dead letters of all tenants, for an operator's key. An observer's key may look, and neither act nor reveal."""

from collections.abc import Iterator
from uuid import UUID

from darkroom.transport import Transport
from darkroom_contracts.api.dead_letters import (
    MAX_LETTERS,
    BulkDiscardReply,
    BulkDiscardRequest,
    DeadLetter,
    DeadLetterDetail,
    DeadLetterExportQuery,
    DeadLetterList,
    DeadLetterQuery,
    DiscardRequest,
    LetterScope,
    RestoreRequest,
    Revealed,
    RevealRequest,
)
from darkroom_contracts.routes.dead_letters import (
    DISCARD_DEAD_LETTER,
    DISCARD_DEAD_LETTERS,
    EXPORT_DEAD_LETTERS,
    GET_DEAD_LETTER,
    LIST_DEAD_LETTERS,
    RESTORE_DEAD_LETTER,
    REVEAL_DEAD_LETTER,
)


class DeadLetters:
    """Dead letters: jobs that failed, messages without a job, and webhooks that were given up.

    Looking changes nothing. Every method raises UnreachableError and ApiError.
    """

    def __init__(self, api: Transport) -> None:
        self._api = api

    def list(self, query: DeadLetterQuery | None = None) -> Iterator[DeadLetter]:
        """Yield the dead letters that match, the newest first. Pages are requested as they are needed."""
        wanted = query or DeadLetterQuery(limit=MAX_LETTERS)
        for page in self._api.pages(LIST_DEAD_LETTERS, DeadLetterList, wanted):
            yield from page.dead_letters

    def get(self, letter_id: UUID) -> DeadLetterDetail:
        """Return a dead letter with its attempts, without its hidden parts."""
        return self._api.call(GET_DEAD_LETTER, DeadLetterDetail, path={"id": letter_id})

    def reveal(self, letter_id: UUID, reason: str) -> Revealed:
        """Return the hidden parts of a dead letter: message, headers, prompts. The audit log records the reason."""
        return self._api.call(REVEAL_DEAD_LETTER, Revealed, path={"id": letter_id}, body=RevealRequest(reason))

    def discard(self, letter_id: UUID, reason: str) -> DeadLetter:
        """Discard an open dead letter."""
        return self._api.call(DISCARD_DEAD_LETTER, DeadLetter, path={"id": letter_id}, body=DiscardRequest(reason))

    def restore(self, letter_id: UUID, reason: str) -> DeadLetter:
        """Open a discarded dead letter again."""
        return self._api.call(RESTORE_DEAD_LETTER, DeadLetter, path={"id": letter_id}, body=RestoreRequest(reason))

    def export(self, query: DeadLetterExportQuery | None = None) -> Iterator[bytes]:
        """Yield each dead letter that matches as a line of JSON, without its end, the newest first.

        However many they are, they are streamed within little memory. Raises CutOffError where that breaks off.
        """
        return self._api.lines(EXPORT_DEAD_LETTERS, query=query)

    def count_discards(self, scope: LetterScope, reason: str) -> BulkDiscardReply:
        """Count the open dead letters of a scope, without discarding any."""
        request = BulkDiscardRequest(scope=scope, reason=reason, dry_run=True)
        return self._api.call(DISCARD_DEAD_LETTERS, BulkDiscardReply, body=request)

    def discard_all(self, scope: LetterScope, reason: str, count: int) -> BulkDiscardReply:
        """Discard the open dead letters of a scope if there are `count`: at most 10,000, then `remaining` are left.

        It is not repeated after a lost response, since it could be about others the second time.
        """
        request = BulkDiscardRequest(scope=scope, reason=reason, count=count)
        return self._api.call(DISCARD_DEAD_LETTERS, BulkDiscardReply, body=request, once=True)
