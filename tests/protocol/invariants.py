"""What must hold after every step, one function per promise. Each yields a sentence for every breach."""

from collections import Counter
from collections.abc import Callable, Iterator

from tests.protocol.broker import Broker
from tests.protocol.snapshot import Change, Snapshot

Promise = Callable[[Snapshot], Iterator[str]]


class BrokenPromiseError(AssertionError):
    """An invariant of the protocol does not hold."""


def breaches_of(now: Snapshot, broker: Broker, objects: set[str]) -> list[str]:
    """A sentence for every breach. `objects` are the keys that were stored."""
    breaches = [breach for promise in PROMISES for breach in promise(now)]
    return [*breaches, *no_queued_job_is_stranded(now, broker), *successes_show_their_own_pictures(now, objects)]


def no_queued_job_is_stranded(now: Snapshot, broker: Broker) -> Iterator[str]:
    """A queued job has an outbox row or a message on the broker, or the broker lost it and the republish will come."""
    promised = {(row.job_id, row.generation) for row in now.outbox} | broker.keys() | broker.lost
    for job in now.having("queued"):
        if job.key not in promised and not job.expired:
            yield f"job {job.key} is queued, and nothing will bring it to a worker"


def successes_show_their_own_pictures(now: Snapshot, objects: set[str]) -> Iterator[str]:
    """The pictures of a success are stored, and were rendered for it by the worker that settled it.

    Perhaps under an earlier token than the one that it settled with: it may have claimed the job again.
    """
    winners = {row.job_id: row.worker for row in now.attempts if row.outcome == "succeeded"}
    renders = {(row.job_id, row.worker, row.lease_token.hex) for row in now.attempts}
    for job in now.having("succeeded"):
        for output in job.outputs:
            if output["key"] not in objects or (job.id, winners[job.id], output["sha256"]) not in renders:
                yield f"job {job.key} shows {output['key']}"


def a_generation_ends_once(now: Snapshot) -> Iterator[str]:
    """At most one terminal transition for a job in a generation, and it is the last that happens in it."""
    ended = set()
    for change in now.ledger:
        if change.key in ended:
            yield f"job {change.key} went to {change.status} after its end"
        if change.ends_the_job:
            ended.add(change.key)


def versions_rise_by_one(now: Snapshot) -> Iterator[str]:
    """Each state change raises the version by one, from 1 at the arrival."""
    for job in now.jobs:
        versions = [change.version for change in now.ledger if change.job_id == job.id]
        if versions != list(range(1, job.version + 1)):
            yield f"job {job.id} is at version {job.version} after the versions {versions}"


def only_a_free_job_is_begun(now: Snapshot) -> Iterator[str]:
    """An attempt begins on a queued job that nobody wanted canceled: never on one that is held, or has ended."""
    for change in now.ledger:
        if change.status == "running" and (change.old_status != "queued" or change.cancel_requested):
            yield f"an attempt of job {change.key} began while it was {change.old_status}"


def attempts_are_counted(now: Snapshot) -> Iterator[str]:
    """`attempt` counts the generation's claims without the released ones, and stays within max_attempts."""
    spent = Counter((row.job_id, row.generation) for row in now.attempts if row.outcome != "released")
    for job in now.jobs:
        if job.attempt != spent[job.key] or job.attempt > job.max_attempts:
            yield f"job {job.key} counts {job.attempt} attempts of {job.max_attempts}, {spent[job.key]} were spent"


def every_claim_is_on_record(now: Snapshot) -> Iterator[str]:
    """Each transition to running has its attempt row, and there are no others."""
    claims = {change.lease_token for change in now.ledger if change.status == "running"}
    if claims != {row.lease_token for row in now.attempts}:
        yield "the attempt rows are not those of the claims"


def attempts_end_with_the_lease(now: Snapshot) -> Iterator[str]:
    """An attempt row is open exactly while its job runs under its token."""
    held = {job.lease_token for job in now.jobs if job.status == "running"}
    if held != {row.lease_token for row in now.attempts if row.outcome is None}:
        yield "the open attempt rows are not those of the running jobs"


def the_dead_have_letters(now: Snapshot) -> Iterator[str]:
    """A dead letter of a job's generation exists exactly when the job failed in it."""
    failed = Counter(change.key for change in now.ledger if change.status == "failed")
    letters = Counter((row.job_id, row.generation) for row in now.letters if row.kind == "job")
    if failed != letters:
        yield f"dead letters {dict(letters)} for the failures {dict(failed)}"


def letters_tell_the_replay(now: Snapshot) -> Iterator[str]:
    """A letter is open while its job is dead in its generation, replaying until the next one ends, then replayed."""
    ended = {change.key for change in now.ledger if change.ends_the_job}
    generations = {job.id: job.generation for job in now.jobs}
    for letter in now.letters:
        if letter.job_id is None or letter.generation is None:
            continue
        begun = generations[letter.job_id] > letter.generation
        due = "replayed" if (letter.job_id, letter.generation + 1) in ended else "replaying" if begun else "open"
        if letter.status != due:
            yield f"the letter of {letter.job_id}, {letter.generation} is {letter.status} instead of {due}"


def generations_rise_by_replay_alone(now: Snapshot) -> Iterator[str]:
    """A generation begins when a failed job is queued again, and follows the one before."""
    generations: dict[object, int] = {}
    for change in now.ledger:
        before = generations.setdefault(change.job_id, 1)
        replayed = change.old_status == "failed" and change.status == "queued"
        if change.generation != before + replayed:
            yield f"job {change.job_id} came from generation {before} to {change.generation} as {change.status}"
        generations[change.job_id] = change.generation


def the_dead_are_marked(now: Snapshot) -> Iterator[str]:
    """`dead_lettered` says exactly that the job failed."""
    for job in now.jobs:
        if job.dead_lettered != (job.status == "failed"):
            yield f"job {job.id} is {job.status} and dead_lettered is {job.dead_lettered}"


def webhooks_are_due(now: Snapshot) -> Iterator[str]:
    """Each event that a submitter asked for has its delivery row, and there are no others."""
    wanted = {job.id: job.wanted_events for job in now.jobs}
    due = {
        (change.job_id, event, change.version)
        for change in now.ledger
        if (event := _event(change)) in wanted[change.job_id]
    }
    written = [(row.job_id, row.event, row.job_version) for row in now.deliveries]
    if due != set(written) or len(written) != len(due):
        yield f"deliveries {sorted(map(str, written))} for the events {sorted(map(str, due))}"


def _event(change: Change) -> str:
    return "job.started" if change.status == "running" else f"job.{change.status}"


def the_outbox_asks_once(now: Snapshot) -> Iterator[str]:
    """One outbox row at most for a job's generation, and none for a generation to come."""
    rows = Counter((row.job_id, row.generation) for row in now.outbox)
    generations = {job.id: job.generation for job in now.jobs}
    for (job_id, generation), count in rows.items():
        if count > 1 or generation > generations[job_id]:
            yield f"the outbox holds {count} rows of job {job_id}, generation {generation}"


PROMISES: tuple[Promise, ...] = (
    a_generation_ends_once,
    versions_rise_by_one,
    only_a_free_job_is_begun,
    attempts_are_counted,
    every_claim_is_on_record,
    attempts_end_with_the_lease,
    the_dead_have_letters,
    letters_tell_the_replay,
    generations_rise_by_replay_alone,
    the_dead_are_marked,
    webhooks_are_due,
    the_outbox_asks_once,
)
