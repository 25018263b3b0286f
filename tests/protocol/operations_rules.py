"""The steps of operations: sweeps, the ingest of dead-lettered messages, replays."""

from tests.protocol.broker import in_order
from tests.protocol.events import PICK, WHETHER, event
from tests.protocol.machine import Frame
from tests.protocol.snapshot import Job, Letter, Snapshot


class OperationsRules(Frame):
    @event(4, lambda self: any(job.lease_over for job in self.now.jobs))
    def lost_leases_are_reaped(self) -> None:
        """Two concurrent sweeps reap every lost lease and no valid one."""
        before = self.now
        self.step(self.world.sweep_at_once(self.world.rescue))
        self.promise(not any(job.lease_over for job in self.now.jobs), "a lost lease was not reaped")
        for job in before.jobs:
            untouched = job.lease_over or self.now.job(job.id).lease_token == job.lease_token
            self.promise(untouched, "a good lease was reaped")
            self._check_refund(job)

    def _check_refund(self, before: Job) -> None:
        """Check that an attempt lost before its render is refunded, at most three times a job."""
        after = self.now.job(before.id)
        if before.lease_over and after.status == "queued":
            refunded = before.step is None and before.refunds < 3
            self.stage.seen["refund of what had not begun"] += refunded
            self.promise(after.attempt == before.attempt - refunded, "a reaped attempt is not counted as it should be")

    @event(2, lambda self: any(job.expired for job in self.now.having("queued")))
    def overlong_waits_end(self) -> None:
        self.step(self.world.sweep_at_once(self.world.expire))
        self.promise(not any(job.expired for job in self.now.having("queued")), "an overlong wait went on")

    @event(4, lambda self: self.now.lost)
    def lost_messages_are_published_again(self) -> None:
        self._republish()

    @event(1, lambda self: self.now.having("queued") and not self.now.lost)
    def nothing_is_published_again(self) -> None:
        """Run the republish: without a proof of loss it publishes nothing."""
        self._republish()

    def _republish(self) -> None:
        before = self.now
        self.step(self.world.sweep_at_once(self.world.republish))
        rows = {(row.job_id, row.generation) for row in self.now.outbox}
        lost = {before.job(job_id).key for job_id in before.lost}
        self.promise(rows >= lost, "a lost message is not published again")
        self.promise(set(before.outbox) <= set(self.now.outbox), "a waiting outbox row was changed")
        again = {job_id for job_id, _ in rows - {(row.job_id, row.generation) for row in before.outbox}}
        self.promise(again <= set(before.perhaps_lost), "a message is published again that nothing shows to be lost")
        self.stage.seen["republish"] += len(again)

    @event(3, lambda self: self.world.broker.dead, index=PICK, dies=WHETHER)
    def dead_message_is_ingested(self, index: int, dies: bool) -> None:
        self.step(self.world.ingest(self.pick(index, in_order(self.world.broker.dead)), dies=dies))

    @event(3, lambda self: self.now.letters, index=PICK)
    def letter_is_replayed(self, index: int) -> None:
        """Two concurrent replays queue the job of an open letter once, and no other job."""
        letter = self.pick(index, self.now.letters)
        before = self.now
        replayed = self.step(self.world.replay_at_once(letter.id))
        may_be = _may_be_replayed(letter, before) and self._has_free_key(letter, before)
        self.promise(replayed == may_be, f"a letter that is {letter.status} was replayed {replayed} times")
        self.promise(may_be or self.is_as(before), "a refused replay left a trace")
        if may_be and letter.kind == "orphan":
            self._check_revived(letter)

    def _has_free_key(self, letter: Letter, now: Snapshot) -> bool:
        """Return whether no other job was submitted under the orphan's key since."""
        if letter.kind != "orphan" or letter.job_id is None:
            return True
        key = self.world.keys.get(letter.job_id)
        stands_for = now.keys.get(key) if key else None
        self.stage.seen["orphan's key taken"] += stands_for is not None
        return stands_for is None

    def _check_revived(self, letter: Letter) -> None:
        assert letter.job_id is not None
        assert letter.generation is not None
        job = self.now.job(letter.job_id)
        named = max(row.generation or 0 for row in self.now.letters if row.job_id == job.id)
        self.promise(job.generation == named + 1, f"an orphan came back in generation {job.generation}")
        key = self.world.keys.get(job.id)
        self.promise(key is None or self.now.keys.get(key) == job.id, "an orphan came back without its key")
        self.stage.seen["orphan replayed"] += 1

    @event(5, lambda self: self._open_letters_of_jobs(), index=PICK)
    def letter_is_replayed_as_its_job_is_deleted(self, index: int) -> None:
        """Of a concurrent replay and deletion one succeeds, and the other is refused."""
        letter = self.pick(index, self._open_letters_of_jobs())
        assert letter.job_id is not None
        replayed, deleted = self.step(self.world.replay_and_delete(letter.id, letter.job_id))
        self.promise(replayed != deleted, f"replayed: {replayed}, and deleted: {deleted}")
        self.stage.seen["replay before delete" if replayed else "delete before replay"] += 1

    def _open_letters_of_jobs(self) -> list[Letter]:
        return [row for row in self.now.letters if row.status == "open" and row.kind == "job"]


def _may_be_replayed(letter: Letter, now: Snapshot) -> bool:
    """Return whether a replay succeeds; of an orphan's letters only that of the last generation is replayed."""
    if letter.status != "open":
        return False
    others = [row.generation or 0 for row in now.letters if (row.kind, row.job_id) == ("orphan", letter.job_id)]
    return letter.kind == "job" or (letter.kind == "orphan" and letter.generation == max(others))
