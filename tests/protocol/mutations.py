"""Rules of the protocol taken out, one at a time, from the SQL that carries them."""

import re
from dataclasses import dataclass
from importlib.resources import files
from types import ModuleType

import aiosql
import pytest

import gateway.store
import gpu_consumer.store
import operations.store
from contracts.schema import snapshot

FUNCTION = re.compile(r"CREATE FUNCTION .*?\$\$;", re.DOTALL)


@dataclass(frozen=True)
class Mutation:
    """`rule` becomes `without`; `breach` is what must be found then, as a pattern."""

    name: str
    rule: str
    without: str
    breach: str
    rare: bool = False
    """It takes more runs to show than a quick test has time for."""


IN_SCHEMA = (
    Mutation(
        "a settle does not look at the token",
        "ELSE status = 'running' AND lease_token = the_token",
        "ELSE status = 'running'",
        "a stale write shows|the open attempt rows",
    ),
    Mutation("a return leaves no message", "PERFORM enqueue_message(job, the_lane);", "", "nothing will bring it"),
    Mutation("a release is not refunded", "WHEN 'released' THEN 1", "WHEN 'released' THEN 0", "attempts of", rare=True),
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
        "UPDATE attempts SET ended_at = clock_timestamp(), outcome = the_outcome, error = the_error\n"
        "    WHERE lease_token = the_token;",
        "",
        "the open attempt rows",
    ),
    Mutation("a good lease is reaped", "lease_expires_at < now()", "true", "a good lease was reaped", rare=True),
    Mutation(
        "a replay never ends",
        "SET status = 'replayed', resolved_at = clock_timestamp()",
        "SET kind = kind",
        "is replaying",
    ),
)
IN_CONSUMER = (
    Mutation(
        "a claim takes what another holds",
        "AND status = 'queued' AND cancel_requested_at",
        "AND status IN ('queued', 'running') AND cancel_requested_at",
        "began while it was running|a claim took what it must not|the message is given back",
    ),
    Mutation(
        "a claim takes the expired",
        "expires_at > now() AND (deadline_at",
        "(deadline_at",
        "a claim took what it must not",
        rare=True,
    ),
    Mutation(
        "a claim's token begins two attempts",
        "AND NOT EXISTS (SELECT FROM attempts WHERE lease_token = :token)",
        "",
        "the message is given back",
        rare=True,
    ),
    Mutation(
        "a heartbeat does not look at the token",
        "AND lease_token = :token AND",
        "AND (lease_token = :token OR true) AND",
        "a stale write shows",
        rare=True,
    ),
)
IN_OPERATIONS = (
    Mutation(
        "a replay leaves no message",
        "SELECT enqueue_message(jobs) FROM jobs WHERE id = :job_id;",
        "SELECT :job_id::uuid;",
        "nothing will bring it",
    ),
    Mutation("a replay is not marked", "SET status = 'replaying' WHERE", "SET kind = kind WHERE", "is open instead of"),
    Mutation(
        "a republish takes the row that waits",
        "WHERE job_id = candidate.id AND outbox.generation = candidate.generation",
        "WHERE false",
        "a waiting outbox row was changed",
    ),
)
IN_GATEWAY = (
    Mutation(
        "a job is accepted without a message",
        "SELECT id, generation, model FROM accepted\n",
        "SELECT id, generation, model FROM accepted WHERE false\n",
        "nothing will bring it",
    ),
    Mutation(
        "the relay forgets what may not have arrived",
        "UPDATE outbox SET\n    failures = failures + 1,\n    available_at = clock_timestamp()\n"
        "        + least(interval '1 minute', make_interval(secs => :seconds * 2 ^ least(failures, 10)))\n"
        "WHERE",
        "DELETE FROM outbox WHERE :seconds::float > 0 AND",
        "nothing will bring it",
    ),
)


IN_QUERIES: tuple[tuple[ModuleType, Mutation], ...] = (
    *((gpu_consumer.store, mutation) for mutation in IN_CONSUMER),
    *((operations.store, mutation) for mutation in IN_OPERATIONS),
    *((gateway.store, mutation) for mutation in IN_GATEWAY),
)


def sabotage(mutation: Mutation) -> str:
    """The functions of the schema, spoilt, as SQL."""
    functions = "\n".join(FUNCTION.findall(snapshot()))
    return _spoil(functions, mutation).replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


def spoil_queries(monkeypatch: pytest.MonkeyPatch, store: ModuleType, mutation: Mutation) -> None:
    """Load a package's queries anew, spoilt."""
    text = (files(store.__name__.split(".")[0]) / "queries.sql").read_text()
    name = "queries" if hasattr(store, "queries") else "_queries"
    monkeypatch.setattr(store, name, aiosql.from_str(_spoil(text, mutation), "asyncpg"))


def _spoil(text: str, mutation: Mutation) -> str:
    assert mutation.rule in text, f"the SQL no longer says {mutation.rule!r}"
    return text.replace(mutation.rule, mutation.without)
