"""What must hold after every step, one function per promise. Each yields a sentence for every breach."""

from collections import Counter
from collections.abc import Callable, Iterator

from tests.protocol.snapshot import TERMINAL, Change, Key, Letter, Snapshot
from tests.protocol.world import World

Promise = Callable[[Snapshot], Iterator[str]]


class BrokenPromiseError(AssertionError):
    """An invariant of the protocol does not hold."""


def breaches_of(now: Snapshot, world: World) -> list[str]:
    """Yield a sentence for every breach."""
    breaches = [breach for promise in PROMISES for breach in promise(now)]
    return [*breaches, *(breach for promise in PROMISES_IN_THE_WORLD for breach in promise(now, world))]


def no_queued_job_is_stranded(now: Snapshot, world: World) -> Iterator[str]:
    """Check that a queued job has an outbox row or a message, or lost its message and will be republished."""
    promised = {(row.job_id, row.generation) for row in now.outbox} | world.whereabouts() | world.broker.lost
    for job in now.having("queued"):
        if job.key not in promised and not job.expired:
            yield f"job {job.key} is queued, and nothing will bring it to a worker"


def nothing_accepted_vanishes(now: Snapshot, world: World) -> Iterator[str]:
    """Check that a job is in the table, was purged, or is an orphan with a message or a letter."""
    kept = {job.id for job in now.jobs} | {letter.job_id for letter in now.letters if letter.kind == "orphan"}
    there = kept | world.purged | world.given_up | {key[0] for key in world.whereabouts() if key}
    for job_id in world.accepted:
        if job_id not in there:
            yield f"job {job_id} has vanished"


def what_was_purged_stays_away(now: Snapshot, world: World) -> Iterator[str]:
    """No late message of a job that was removed for its age makes it a job or an orphan."""
    for job_id in world.purged:
        if now.find(job_id):
            yield f"job {job_id} came back after it was purged"
    for letter in now.letters:
        if letter.job_id in world.purged and letter.status in ("open", "replaying"):
            yield f"a letter of job {letter.job_id} is {letter.status}, which was purged"


def failures_are_counted_once(now: Snapshot, world: World) -> Iterator[str]:
    """No more attempts failed than failures were met."""
    counted = Counter(row.job_id for row in now.attempts if row.outcome in ("retried", "failed"))
    for job_id, count in counted.items():
        if count > world.failures[job_id]:
            yield f"{count} attempts of job {job_id} failed, of {world.failures[job_id]} that met a failure"


def successes_show_their_own_pictures(now: Snapshot, world: World) -> Iterator[str]:
    """Check that the pictures of a success are stored, and were rendered by the worker that settled it.

    Perhaps under an earlier token than the one that it settled with: it may have claimed the job again.
    """
    winners = {row.job_id: row.worker for row in now.attempts if row.outcome == "succeeded"}
    renders = {(row.job_id, row.worker, row.lease_token.hex) for row in now.attempts} | world.lost_renders
    for job in now.having("succeeded"):
        for output in job.outputs:
            if output["key"] not in world.objects or (job.id, winners.get(job.id), output["sha256"]) not in renders:
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
    """Check that an attempt begins only on a queued job without a cancel request."""
    for change in now.ledger:
        if change.status == "running" and (change.old_status != "queued" or change.cancel_requested):
            yield f"an attempt of job {change.key} began while it was {change.old_status}"


def attempts_are_counted(now: Snapshot) -> Iterator[str]:
    """`attempt` counts the generation's claims without the refunded ones, and stays within max_attempts."""
    spent = Counter((row.job_id, row.generation) for row in now.attempts if not row.refunded)
    for job in now.jobs:
        if job.attempt != spent[job.key] or job.attempt > job.max_attempts:
            yield f"job {job.key} counts {job.attempt} attempts of {job.max_attempts}, {spent[job.key]} were spent"


def the_released_are_refunded(now: Snapshot) -> Iterator[str]:
    """Check that a job returned before its render has its attempt refunded."""
    for row in now.attempts:
        if row.outcome == "released" and not row.refunded:
            yield f"an attempt that was released counts for job {row.job_id}"


def every_claim_is_on_record(now: Snapshot) -> Iterator[str]:
    """Each transition to running has its attempt row, and there are no others."""
    claims = {change.lease_token for change in now.ledger if change.status == "running"}
    if claims != {row.lease_token for row in now.attempts}:
        yield "the attempt rows are not those of the claims"


def attempts_end_with_the_lease(now: Snapshot) -> Iterator[str]:
    """Check that an attempt row is open exactly while its job runs under its token."""
    held = {job.lease_token for job in now.jobs if job.status == "running"}
    if held != {row.lease_token for row in now.attempts if row.outcome is None}:
        yield "the open attempt rows are not those of the running jobs"


def the_dead_have_letters(now: Snapshot) -> Iterator[str]:
    """Check that a dead letter of a job's generation exists exactly when the job failed in it."""
    failed = Counter(change.key for change in now.ledger if change.status == "failed")
    there = {job.id for job in now.jobs}
    letters = Counter((row.job_id, row.generation) for row in now.letters if row.kind == "job" and row.job_id in there)
    if failed != letters:
        yield f"dead letters {dict(letters)} for the failures {dict(failed)}"


def letters_tell_the_replay(now: Snapshot) -> Iterator[str]:
    """Check that a letter is open while its job is dead, replaying in the next generation, and then replayed.

    One of an orphan is open until its job is made again. Nothing of a deleted or purged job is open.
    """
    ended = {change.key for change in now.ledger if change.ends_the_job}
    for letter in now.letters:
        if letter.job_id is not None and letter.status not in (due := _due(letter, now, ended)):
            yield f"the letter of {letter.job_id}, {letter.generation} is {letter.status} instead of {due[0]}"


def _due(letter: Letter, now: Snapshot, ended: set[Key]) -> tuple[str, ...]:
    """Return the statuses that the letter can have."""
    assert letter.job_id is not None
    assert letter.generation is not None
    job = now.find(letter.job_id)
    if job is None:
        waits = letter.kind == "orphan" and not now.is_purged(letter.job_id)
        return ("open",) if waits else ("discarded", "replayed")
    if job.deleted:
        return ("discarded", "replayed")
    begun = job.generation > letter.generation
    later = {key for key in ended if key[0] == job.id and key[1] > letter.generation}
    return ("replayed",) if later else ("replaying",) if begun else ("open",)


def generations_rise_by_replay_alone(now: Snapshot) -> Iterator[str]:
    """Check that a generation begins when a failed job is queued again, and follows the previous one.

    A job that was made again from an orphan begins with a generation that no letter of it names.
    """
    generations: dict[object, int] = {}
    orphans = {row.job_id for row in now.letters if row.kind == "orphan"}
    for change in now.ledger:
        before = generations.setdefault(change.job_id, change.generation if change.job_id in orphans else 1)
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
    """Each event that a submitter asked for has its delivery row, and there are no others.

    What is left of a deleted job does not tell what was asked for.
    """
    wanted = {job.id: job.wanted_events for job in now.jobs if not job.deleted}
    due = {
        (change.job_id, event, change.version)
        for change in now.ledger
        if (event := _event(change)) in wanted.get(change.job_id, ())
    }
    written = [(row.job_id, row.event, row.job_version) for row in now.deliveries if row.job_id in wanted]
    if due != set(written) or len(written) != len(due):
        yield f"deliveries {sorted(map(str, written))} for the events {sorted(map(str, due))}"


def _event(change: Change) -> str:
    return "job.started" if change.status == "running" else f"job.{change.status}"


def the_outbox_asks_once(now: Snapshot) -> Iterator[str]:
    """One outbox row at most for a job's generation, and none for a generation to come."""
    rows = Counter((row.job_id, row.generation) for row in now.outbox)
    generations = {job.id: job.generation for job in now.jobs}
    for (job_id, generation), count in rows.items():
        if count > 1 or generation > generations.get(job_id, 0):
            yield f"the outbox holds {count} rows of job {job_id}, generation {generation}"


def the_deleted_rest(now: Snapshot) -> Iterator[str]:
    """Check that a deleted job is in a terminal state and stays there."""
    for job in now.jobs:
        if job.deleted and job.status not in TERMINAL:
            yield f"job {job.key} was deleted, and is {job.status}"


PROMISES: tuple[Promise, ...] = (
    a_generation_ends_once,
    versions_rise_by_one,
    only_a_free_job_is_begun,
    attempts_are_counted,
    the_released_are_refunded,
    every_claim_is_on_record,
    attempts_end_with_the_lease,
    the_dead_have_letters,
    letters_tell_the_replay,
    generations_rise_by_replay_alone,
    the_dead_are_marked,
    webhooks_are_due,
    the_outbox_asks_once,
    the_deleted_rest,
)
PROMISES_IN_THE_WORLD: tuple[Callable[[Snapshot, World], Iterator[str]], ...] = (
    no_queued_job_is_stranded,
    nothing_accepted_vanishes,
    what_was_purged_stays_away,
    failures_are_counted_once,
    successes_show_their_own_pictures,
)
