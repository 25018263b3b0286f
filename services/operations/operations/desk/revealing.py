"""The hidden parts of a dead letter: what came from outside. Each look at them is audited."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from chassis.postgres import Connection, Database
from darkroom_contracts.api.dead_letters import MAX_REVEALED_BYTES, Revealed, RevealedAttempt, RevealRequest
from darkroom_contracts.messages import UndecodableMessageError, decode_render, encode_render
from darkroom_contracts.states import LetterKind
from operations.audit import log as audit
from operations.desk import store
from operations.errors import UnknownLetterError

MOST_ATTEMPTS = 100


class RevealLetter:
    """The use case of `reveal_dead_letter`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, actor: str, letter_id: UUID, request: RevealRequest) -> Revealed:
        """Return the hidden parts of a letter, and record who looked and why. Raises UnknownLetterError."""
        async with self._database.transaction() as connection:
            hidden = await store.find_hidden(connection, letter_id, MAX_REVEALED_BYTES)
            if hidden is None:
                raise UnknownLetterError(letter_id)
            await audit.record(connection, actor, audit.Action.REVEAL, letter_id, reason=request.reason)
            if hidden["kind"] == LetterKind.WEBHOOK:
                return await _webhook(connection, hidden)
            return _revealed(hidden, await _attempts(connection, hidden["job_id"]))


def _revealed(hidden: Mapping[str, Any], attempts: list[RevealedAttempt]) -> Revealed:
    body: bytes | None = hidden["body"]
    is_whole = body is not None and len(body) == hidden["body_bytes"]
    return Revealed(
        id=hidden["id"],
        body=body,
        body_bytes=hidden["body_bytes"],
        text=_text(body) if body is not None and is_whole else None,
        message=_message(body) if body is not None and is_whole else None,
        **{name: _raw(hidden[name]) for name in ("headers", "x_death", "input", "overrides", "metadata")},
        url=hidden["webhook_url"],
        attempts=attempts,
    )


async def _webhook(connection: Connection, hidden: Mapping[str, Any]) -> Revealed:
    delivery_id: UUID = hidden["delivery_id"]
    responses = await store.hidden_responses(connection, delivery_id, MOST_ATTEMPTS)
    attempts = [RevealedAttempt(attempt=each["number"], response=each["response"]) for each in responses]
    url = await store.delivery_url(connection, delivery_id)
    return msgspec.structs.replace(_revealed(hidden, attempts), url=url)


async def _attempts(connection: Connection, job_id: UUID | None) -> list[RevealedAttempt]:
    if job_id is None:
        return []
    return [_attempt(each) for each in await store.hidden_attempts(connection, job_id, MOST_ATTEMPTS)]


def _attempt(row: Mapping[str, Any]) -> RevealedAttempt:
    return RevealedAttempt(
        generation=row["generation"],
        attempt=row["attempt"],
        cause=msgspec.json.decode(row["cause"], type=str) if row["cause"] else None,
        last_lines=msgspec.json.decode(row["last_lines"], type=list[str]) if row["last_lines"] else [],
    )


def _message(body: bytes) -> msgspec.Raw | None:
    """Return a render message as every version's decoder understands it."""
    try:
        return msgspec.Raw(encode_render(decode_render(body)))
    except UndecodableMessageError:
        return None


def _text(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _raw(column: bytes | None) -> msgspec.Raw | None:
    return None if column is None else msgspec.Raw(column)
