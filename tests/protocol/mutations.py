"""Rules of the protocol taken out, one at a time, of the SQL that carries them."""

import re
from dataclasses import dataclass
from importlib.resources import files
from types import ModuleType

import aiosql
import pytest

import gateway.store
import gpu_consumer.job.store
import operations.letters.store
import operations.replays.store
import operations.retention.store
import operations.sweeps.store
from darkroom_contracts.schema import snapshot
from tests.protocol import openings

LOST = "nothing will bring it|has vanished|no rest after"
"""What a job is found to be that no message brings to a worker, whichever promise is looked at first."""
FUNCTION = re.compile(r"CREATE FUNCTION (?:(?!CREATE |^RETURN ).)*?\$\$;", re.DOTALL | re.MULTILINE)
"""A function whose body is a string; one that is a bound expression carries no rule."""


@dataclass(frozen=True)
class Mutation:
    """`rule` becomes `without`; `breach` is what must be found then, as a pattern."""

    name: str
    rule: str
    without: str
    breach: str
    opening: openings.Opening = ()
    """How its runs begin, where random events rarely show the breach."""


IN_SCHEMA = (
    Mutation(
        "a settle does not look at the token",
        "ELSE status = 'running' AND lease_token = the_token",
        "ELSE status = 'running'",
        "a stale write shows|the open attempt rows",
    ),
    Mutation("a return leaves no message", "PERFORM enqueue_message(job, the_lane);", "", LOST),
    Mutation(
        "a release is not refunded",
        "refund := the_outcome = 'released' OR",
        "refund :=",
        "an attempt that was released counts",
        opening=openings.RELEASED,
    ),
    Mutation(
        "a lost attempt counts though its render had not begun",
        "OR (the_outcome = 'lost' AND job.step IS NULL AND job.refunds < 3)",
        "",
        "a reaped attempt is not counted as it should be",
    ),
    Mutation(
        "a lost attempt does not count though its render had begun",
        "AND job.step IS NULL AND job.refunds < 3",
        "AND job.refunds < 3",
        "a reaped attempt is not counted as it should be",
    ),
    Mutation(
        "a streak's refund takes what was rendered",
        "WHERE lease_token = ANY (the_tokens) AND outcome = 'retried' AND NOT refunded",
        "WHERE outcome = 'retried' AND NOT refunded",
        "an attempt was refunded that lost no render process",
        opening=openings.SICK_GPU,
    ),
    Mutation(
        "a failed job has no dead letter", "IF job.status = 'failed' THEN", "IF false THEN", "dead letters .* failures"
    ),
    Mutation(
        "an end is not told by webhook",
        "PERFORM record_delivery(job, 'job.' || job.status);",
        "",
        "deliveries .* for the events",
    ),
    Mutation(
        "an attempt's row stays open",
        "UPDATE attempts SET ended_at = clock_timestamp(), outcome = the_outcome, error = the_error,"
        " refunded = refund\n    WHERE lease_token = the_token;",
        "",
        "the open attempt rows",
    ),
    Mutation("a good lease is reaped", "lease_expires_at < now()", "true", "a good lease was reaped", openings.REAPED),
    Mutation(
        "a replay never ends",
        "SET status = 'replayed', resolved_at = clock_timestamp()",
        "SET kind = kind",
        "is replaying",
    ),
    Mutation(
        "a retry does not look at the deadline",
        "WHEN the_outcome = 'retried' AND job.deadline_at <= due THEN 'expired'",
        "",
        "a retry waits beyond its deadline",
        opening=openings.RETRIED_TOO_LATE,
    ),
)
IN_CONSUMER = (
    Mutation(
        "a claim takes what another holds",
        "AND status || '' = 'queued' AND cancel_requested_at",
        "AND status IN ('queued', 'running') AND cancel_requested_at",
        "began while it was running|a claim took what it must not|the message is given back",
    ),
    Mutation(
        "a claim takes the expired",
        "expires_at > now() AND (deadline_at",
        "(deadline_at",
        "a claim took what it must not",
        opening=openings.EXPIRED_BEFORE_ITS_CLAIM,
    ),
    Mutation(
        "a claim's token begins two attempts",
        "AND NOT EXISTS (SELECT FROM attempts WHERE lease_token = :token)",
        "",
        "the message is given back",
        opening=openings.REAPED_BEFORE_ITS_CLAIM_WAS_HEARD,
    ),
    Mutation(
        "a heartbeat does not look at the token",
        "AND lease_token = :token AND",
        "AND (lease_token = :token OR true) AND",
        "a stale write shows",
        opening=openings.TAKEN_OVER,
    ),
    Mutation(
        "a claim does not look at the deadline",
        "AND (deadline_at IS NULL OR deadline_at > now())",
        "",
        "a claim took what it must not",
    ),
    Mutation(
        "a claim takes a paused model's job",
        "AND NOT EXISTS (SELECT FROM paused_models WHERE model = queue)",
        "",
        "a claim took what it must not",
    ),
    Mutation(
        "a paused model's message is acked",
        "EXISTS (SELECT FROM paused_models WHERE paused_models.model = queue) AS paused",
        "false AS paused",
        LOST,
    ),
    Mutation(
        "a purged job's message is an orphan's",
        "is_purged(:job_id) AS purged",
        "false AS purged",
        "the message of a purged job is rejected",
    ),
)
IN_SWEEPS = (
    Mutation(
        "a republish takes the row that waits",
        "WHERE job_id = candidate.id AND outbox.generation = candidate.generation",
        "WHERE false",
        "a waiting outbox row was changed",
    ),
    Mutation(
        "an empty queue proves nothing",
        "AND answered_at <= now() - interval '10 seconds'",
        "AND false",
        "a lost message is not published again|no rest after",
    ),
    Mutation(
        "an empty queue proves too much",
        "max(answered_at) - interval '10 seconds'",
        "now()",
        "published again that nothing shows to be lost",
    ),
    Mutation(
        "a claim overtakes nothing",
        "WHERE started_at BETWEEN",
        "WHERE false AND started_at BETWEEN",
        "a lost message is not published again|no rest after",
    ),
    Mutation(
        "a claim overtakes what was announced later",
        "max(stamped_at) - interval '60 seconds'",
        "now()",
        "published again that nothing shows to be lost",
    ),
    Mutation(
        "a paused model's messages are published again",
        "AND NOT EXISTS (SELECT FROM paused_models WHERE paused_models.model = shown.model)",
        "",
        "published again that nothing shows to be lost",
    ),
    Mutation(
        "a queued job outlives its deadline",
        "status = 'queued' AND least(expires_at, deadline_at) <= now()",
        "status = 'queued' AND expires_at <= now()",
        "an overlong wait went on|no rest after",
    ),
)
IN_LETTERS = (
    Mutation(
        "an orphan is not recorded",
        "WHERE NOT is_purged(job_id) AND NOT EXISTS (SELECT FROM jobs WHERE id = orphan.job_id OFFSET 0)",
        "WHERE job_id IS NULL",
        "has vanished",
    ),
    Mutation(
        "a purged job's reject makes an orphan",
        "NOT is_purged(job_id) AND NOT EXISTS",
        "NOT EXISTS",
        "which was purged|is open instead of discarded",
    ),
)
IN_REPLAYS = (
    Mutation(
        "a replay leaves no message",
        "FROM renewed CROSS JOIN LATERAL enqueue_message(job);",
        "FROM renewed;",
        LOST,
    ),
    Mutation("a replay is not marked", "SET status = 'replaying' FROM", "SET kind = kind FROM", "is open instead of"),
    Mutation(
        "an orphan comes back in a generation that it had",
        "SELECT max(generation) FROM dead_letters WHERE job_id = :job_id AND kind IN ('job', 'orphan')) AS latest",
        "SELECT generation - 1) AS latest",
        "an orphan came back in generation",
    ),
)
IN_RETENTION = (
    Mutation(
        "the line of retention passes an orphan",
        "WHERE kind = 'orphan' AND status = 'open'",
        "WHERE false",
        "the line of retention passed the open orphans",
    ),
    Mutation(
        "a job is purged that an operator may replay",
        "kind = 'job' AND status IN ('open', 'replaying') OFFSET 0",
        "kind = 'job' AND false OFFSET 0",
        "retention removed job",
    ),
)
IN_GATEWAY = (
    Mutation(
        "a job is accepted without a message",
        "SELECT id, generation, model FROM accepted\n",
        "SELECT id, generation, model FROM accepted WHERE false\n",
        LOST,
    ),
    Mutation(
        "the relay forgets what was not confirmed",
        "UPDATE outbox SET\n    failures = failures + 1,\n    available_at = clock_timestamp()\n"
        "        + least(interval '1 minute', make_interval(secs => :seconds * 2 ^ least(failures, 10)))\n"
        "WHERE",
        "DELETE FROM outbox WHERE :seconds::float > 0 AND",
        LOST,
    ),
    Mutation(
        "a deleted job's letters stay open",
        "FROM redacted WHERE job_id = redacted.id AND kind IN ('job', 'orphan')",
        "FROM redacted WHERE false",
        "is open instead of discarded",
    ),
    Mutation(
        "a delete does not lock its job",
        "FROM jobs WHERE id = :id AND tenant_id = :tenant FOR UPDATE;",
        "FROM jobs WHERE id = :id AND tenant_id = :tenant;",
        "replayed: True, and deleted: True",
    ),
)


IN_QUERIES: tuple[tuple[ModuleType, Mutation], ...] = (
    *((gpu_consumer.job.store, mutation) for mutation in IN_CONSUMER),
    *((operations.sweeps.store, mutation) for mutation in IN_SWEEPS),
    *((operations.letters.store, mutation) for mutation in IN_LETTERS),
    *((operations.replays.store, mutation) for mutation in IN_REPLAYS),
    *((operations.retention.store, mutation) for mutation in IN_RETENTION),
    *((gateway.store, mutation) for mutation in IN_GATEWAY),
)


def sabotage(mutation: Mutation) -> str:
    """Return the mutated functions of the schema as SQL."""
    functions = "\n".join(FUNCTION.findall(snapshot()))
    return _spoil(functions, mutation).replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


def spoil_queries(monkeypatch: pytest.MonkeyPatch, store: ModuleType, mutation: Mutation) -> None:
    """Load a package's queries anew, spoilt."""
    text = (files(store.__name__.rpartition(".")[0]) / "queries.sql").read_text()
    name = "queries" if hasattr(store, "queries") else "_queries"
    monkeypatch.setattr(store, name, aiosql.from_str(_spoil(text, mutation), "asyncpg"))


def _spoil(text: str, mutation: Mutation) -> str:
    assert mutation.rule in text, f"the SQL no longer says {mutation.rule!r}"
    return text.replace(mutation.rule, mutation.without)
