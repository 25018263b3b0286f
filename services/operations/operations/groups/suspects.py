"""Suspects: what the letters of a group have in common that the attempts of the same hours do not.

Both sides are bounded: the newest letters of the hours in which there were any, and a sample of the attempts that began
in these hours.
"""

import msgspec

from chassis.postgres import Connection
from darkroom_contracts.api.dead_letter_groups import DeadLetterGroup, Suspect, SuspectKind
from darkroom_contracts.states import LetterKind
from operations.groups import store
from operations.groups.records import Examined, PropertyCount, Sample

MOST_LETTERS = 10_000
MOST_ATTEMPTS = 10_000
MOST_HOURS = 48
PARTS = 12
"""Parts of an hour that are sampled alike, so that a busy minute does not stand for all of it."""
MOST_VALUES = 20
"""Most values of each kind, those that most letters have."""


class Suspects(msgspec.Struct, frozen=True):
    suspects: list[Suspect]
    examined: int
    sampled: int


async def find_suspects(connection: Connection, group: DeadLetterGroup) -> Suspects:
    """Compare a group's letters with the attempts of the same model and hours.

    The property whose share among the letters is furthest above its usual share comes first.
    """
    if group.kind is not LetterKind.JOB:  # the others have no attempts
        return Suspects([], 0, 0)
    examined = await store.describe_letters(connection, group.id, MOST_LETTERS, MOST_HOURS)
    if not examined.letters:
        return Suspects([], 0, 0)
    sample = await store.sample_attempts(connection, examined.hours, group.model, PARTS, MOST_ATTEMPTS)
    suspects = [_suspect(each, examined, sample) for each in _most_common(examined.properties)]
    return Suspects(sorted(suspects, key=_excess, reverse=True), examined.letters, sample.attempts)


def _suspect(found: PropertyCount, examined: Examined, sample: Sample) -> Suspect:
    attempts = sample.counts.get((found.kind, found.value), 0)
    return Suspect(
        kind=SuspectKind(found.kind),
        value=_readable(found),
        letters=found.letters,
        share=round(found.letters / examined.letters, 4),
        attempts=attempts,
        usual_share=round(attempts / sample.attempts, 4) if sample.attempts else None,
        first_seen_at=found.first_seen_at,
        last_seen_at=found.last_seen_at,
    )


def _most_common(properties: list[PropertyCount]) -> list[PropertyCount]:
    ordered = sorted(properties, key=lambda found: -found.letters)
    return [each for kind in SuspectKind for each in [found for found in ordered if found.kind == kind][:MOST_VALUES]]


def _excess(suspect: Suspect) -> float:
    return suspect.share - (suspect.usual_share or 0.0)


def _readable(found: PropertyCount) -> str:
    if found.kind != SuspectKind.VERSIONS:
        return found.value
    versions = msgspec.json.decode(found.value, type=dict[str, str])
    return ", ".join(f"{library} {version}" for library, version in sorted(versions.items()))
