"""Rules of the protocol taken out, one at a time, of the code that carries them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import gpu_consumer.job.verdict
import operations.replays.orphans
from darkroom_contracts.messages import RenderMessage
from gpu_consumer.job.lease import Interruption, Lease
from gpu_consumer.job.parking import Parking
from gpu_consumer.job.settling import Settling
from gpu_consumer.job.store import JobStore
from gpu_consumer.job.verdict import Obsolete, Verdict
from gpu_consumer.waiting import until_answered
from gpu_consumer.worker.session import Session
from tests.protocol import openings
from tests.protocol.mutations import LOST


@dataclass(frozen=True)
class CodeMutation:
    """`owner.name` becomes `without`; `breach` is what must be found then, as a pattern."""

    name: str
    owner: object
    attribute: str
    without: Callable[..., Any]
    breach: str
    opening: openings.Opening = ()
    """As `Mutation.opening`."""


async def _do_nothing(*_: object) -> None:
    pass


def _obsolete(*_: object) -> Verdict:
    return Obsolete("gone")


async def _not_ours(*_: object) -> Verdict:
    return Obsolete("gone")


async def _give_up(lease: Lease) -> None:
    lease.verdict = Obsolete("gone")
    lease.interrupt(Interruption.LEASE_LOST)


async def _claim_whatever_was_found_out(settling: Settling, message: RenderMessage, _: object) -> Verdict:
    token = uuid4()
    return await until_answered(lambda: settling._store.claim(message, token, rendered=True))


_interrupt = Lease.interrupt


def _interrupt_but_for_the_deadline(lease: Lease, reason: Interruption) -> None:
    if reason is not Interruption.DEADLINE:
        _interrupt(lease, reason)


_claim = JobStore.claim


async def _claim_as_if_unrendered(store: JobStore, message: RenderMessage, token: Any, **_: object) -> Verdict:
    return await _claim(store, message, token, rendered=False)


IN_CODE = (
    CodeMutation("an orphan is acked", gpu_consumer.job.verdict, "judge_absence", _obsolete, "has vanished"),
    CodeMutation("an unheard reject is left at that", Parking, "bury", _do_nothing, "has vanished"),
    CodeMutation("a heartbeat without a job gives up", Lease, "_claim_again", _give_up, LOST),
    CodeMutation("a settle without a job gives up", Settling, "_find_out", _not_ours, LOST),
    CodeMutation(
        "a failure is counted again",
        Settling,
        "_find_out",
        _claim_whatever_was_found_out,
        "attempts of job .* failed, of .* that met a failure",
        opening=openings.FAILED_TWICE,
    ),
    CodeMutation("a failure without a job acks", JobStore, "look", _not_ours, LOST, openings.FAILED_WITHOUT_A_CLAIM),
    CodeMutation(
        "a park is not noted",
        JobStore,
        "note_parked",
        _do_nothing,
        "a message that waits in a lane counts as lost",
        openings.PARKED_AND_NOTED,
    ),
    CodeMutation(
        "a render does not look at its deadline",
        Lease,
        "interrupt",
        _interrupt_but_for_the_deadline,
        "a render goes on past its deadline",
    ),
    CodeMutation(
        "a finished render is late", JobStore, "claim", _claim_as_if_unrendered, "a claim did not take its job"
    ),
    CodeMutation(
        "an orphan's key is forgotten",
        operations.replays.orphans,
        "_restore_key",
        _do_nothing,
        "came back without its key|was replayed",
    ),
    CodeMutation("a worker is deaf to a pause", Session, "_obey", lambda _, orders: None, "a pause was not received"),
)
