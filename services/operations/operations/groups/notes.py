"""Notes about groups, which outlive the replay of their letters."""

from uuid import UUID

import msgspec

from chassis.auth import Caller
from chassis.decoding import invalid
from chassis.postgres import Database
from darkroom_contracts.api.dead_letter_groups import DeadLetterGroup, GroupNoteRequest
from operations.audit import log as audit
from operations.groups import store
from operations.groups.folding import FoldGroups
from operations.groups.groups import UnknownGroupError
from operations.groups.records import Note


class WriteNote:
    """The use case of `note_group`."""

    def __init__(self, database: Database, folder: FoldGroups) -> None:
        self._database = database
        self._folder = folder

    async def __call__(self, caller: Caller, group_id: UUID, request: GroupNoteRequest) -> DeadLetterGroup:
        """Write, replace or remove a group's note, and return the group.

        Raises UnknownGroupError, and ProblemError, 422, for a date without a text.
        """
        if request.text is None and request.known_until is not None:
            raise invalid("known_until", "needs a text; add one, or leave it out")
        note = Note(request.text, caller.key_id if request.text else None, request.known_until)
        written = await self._write(caller, group_id, note)
        if written is None:
            await self._folder.run_once()  # a group that appeared this second may be seen already, but not be made
            written = await self._write(caller, group_id, note)
        if written is None:
            raise UnknownGroupError(group_id)
        return written

    async def _write(self, caller: Caller, group_id: UUID, note: Note) -> DeadLetterGroup | None:
        async with self._database.transaction() as connection:
            before = await store.lock_group(connection, group_id)
            if before is None:
                return None
            await store.write_note(connection, group_id, note)
            await audit.record(
                connection,
                caller.key_id,
                audit.Action.GROUP_NOTE,
                group_id,
                before=msgspec.to_builtins(before),
                after=msgspec.to_builtins(note),
            )
            [(group, _)] = await store.read_groups(connection, [group_id])
        return group
