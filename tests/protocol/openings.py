"""Openings: the first events of a run, in a fixed order, for what random events reach too rarely."""

from tests.protocol.events import Happening
from tests.protocol.puppets import Ending
from tests.protocol.strings import Answer

Opening = tuple[Happening, ...]


def _event(name: str, **arguments: object) -> Happening:
    return Happening(name, arguments)


def _first(name: str, answer: Answer = Answer.HEARD) -> Happening:
    """Answer the first of the statements of a kind that wait."""
    return _event(name, index=0, answer=answer)


def _delivered(message: int = 0) -> Happening:
    """Deliver a message to the first worker that listens."""
    return _event("message_is_delivered", index=0, message=message)


def _rendered(ending: Ending) -> Opening:
    """End the first render under way, and let its attempt settle."""
    return _event("render_ends", index=0, ending=ending), _first("attempt_settles")


def _begun(message: int = 0) -> Opening:
    """Let the first worker that listens render the job of a message."""
    return _delivered(message), *_CLAIMED


_CLAIMED: Opening = (_first("claim_is_answered"), _first("heartbeat_is_answered"))
_FETCHED_AHEAD = _event("message_is_fetched_ahead", index=0, message=0, waits=True)
_LEASE_LOST: Opening = (_event("lease_runs_out", index=0), _event("lost_leases_are_reaped"))
_PUBLISHED: Opening = (_event("two_workers_and_some_jobs", jobs=3, events=()), _event("relay_publishes"))
_FAILED_UNHEARD: Opening = (
    *_PUBLISHED,
    *_begun(),
    _event("render_ends", index=0, ending=Ending.TRANSIENT),
    _first("attempt_settles", Answer.UNHEARD),
)

PARKED: Opening = (
    *_PUBLISHED,
    *_begun(),
    *_begun(),
    _event("model_is_paused"),
    _FETCHED_AHEAD,
    _first("claim_is_answered"),
    _event("model_is_resumed"),
    _event("queue_is_found_empty"),
)
"""A message is parked, and its queue found empty, before the job's row says that the message waits in a lane."""
PARKED_AND_NOTED: Opening = (*PARKED, _first("park_is_noted"), _event("nothing_is_published_again"))
PARKED_AND_PUBLISHED_AGAIN: Opening = (*PARKED, _event("lost_messages_are_published_again"), _first("park_is_noted"))

SICK_GPU: Opening = (
    *_PUBLISHED,
    *_begun(),
    *_begun(),
    *_rendered(Ending.LOST),
    *_rendered(Ending.TRANSIENT),
    _event("render_process_is_restarted", index=0),
    _FETCHED_AHEAD,
    *_CLAIMED,
    *_rendered(Ending.LOST),
    _event("worker_closes_for_its_gpu", index=0),
)
"""A worker closes after two jobs in a row lost its render process, while a job of another worker waits for a retry."""

CLAIM_LOST: Opening = (*_PUBLISHED, *_begun(), _event("postgres_loses_a_claim", index=0))
"""A job renders whose claim Postgres has lost."""
CLAIMED_WHILE_RENDERING: Opening = (
    *CLAIM_LOST,
    _event("heartbeat_is_due", index=0),
    _first("heartbeat_is_answered"),
    _first("claim_is_answered"),
)
FAILED_WITHOUT_A_CLAIM: Opening = (*CLAIM_LOST, *_rendered(Ending.TRANSIENT))
FAILED_TWICE: Opening = (*_FAILED_UNHEARD, _first("attempt_settles"))
"""The answer to the settle of a failure is lost, and its repetition finds the job queued."""

RELEASED: Opening = (
    *_PUBLISHED,
    *_begun(),
    _event("worker_is_told_to_stop", index=0),
    _event("message_is_fetched_ahead", index=0, message=0, waits=False),
    _event("time_to_finish_is_over", index=0),
    *_rendered(Ending.ABORTED),
)
REAPED: Opening = (*_PUBLISHED, *_begun(), *_begun(), *_LEASE_LOST)
"""Of two leases one runs out."""
TAKEN_OVER: Opening = (
    *_PUBLISHED,
    *_begun(),
    *_LEASE_LOST,
    _event("relay_publishes"),
    _delivered(),
    _first("claim_is_answered"),
    _event("heartbeat_is_due", index=0),
    _first("heartbeat_is_answered"),
)
"""A worker sends a heartbeat for a job that another has claimed since."""
REAPED_BEFORE_ITS_CLAIM_WAS_HEARD: Opening = (
    *_PUBLISHED,
    _delivered(),
    _first("claim_is_answered", Answer.UNHEARD),
    *_LEASE_LOST,
    _first("claim_is_answered"),
)
EXPIRED_BEFORE_ITS_CLAIM: Opening = (
    *_PUBLISHED,
    _delivered(),
    _event("job_outlives_its_ttl", index=0),
    _first("claim_is_answered"),
)
RETRIED_TOO_LATE: Opening = (*_PUBLISHED, *_begun(message=2), *_rendered(Ending.TRANSIENT))
"""The third job has a deadline that its retry would miss."""

EVERY_OPENING = (
    PARKED_AND_NOTED,
    PARKED_AND_PUBLISHED_AGAIN,
    SICK_GPU,
    CLAIMED_WHILE_RENDERING,
    FAILED_WITHOUT_A_CLAIM,
    FAILED_TWICE,
    RELEASED,
    REAPED,
    TAKEN_OVER,
    REAPED_BEFORE_ITS_CLAIM_WAS_HEARD,
    EXPIRED_BEFORE_ITS_CLAIM,
    RETRIED_TOO_LATE,
)
