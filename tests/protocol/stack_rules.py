"""What time, operators of the stack and disasters bring about."""

from uuid import UUID

from tests.protocol.events import PICK, event
from tests.protocol.machine import Frame
from tests.protocol.snapshot import TERMINAL, Attempt, Job, milliseconds_of


class StackRules(Frame):
    # --- time ---

    @event(3, lambda self: self._leased(), index=PICK)
    def lease_runs_out(self, index: int) -> None:
        self.step(self.stage.records.let("lease_run_out", job_id=self.pick(index, self._leased()).id))

    def _leased(self) -> list[Job]:
        return [job for job in self.now.having("running") if not job.lease_over]

    @event(3, lambda self: self._waiting(), index=PICK)
    def retry_falls_due(self, index: int) -> None:
        self.step(self.stage.records.let("wait_be_over", job_id=self.pick(index, self._waiting()).id))

    def _waiting(self) -> list[Job]:
        return [job for job in self.now.jobs if job.waiting]

    @event(1, lambda self: self._in_time(), index=PICK)
    def job_outlives_its_ttl(self, index: int) -> None:
        self.step(self.stage.records.let("job_expire", job_id=self.pick(index, self._in_time()).id))

    def _in_time(self) -> list[Job]:
        return [job for job in self.now.having("queued", "running") if not job.expired]

    @event(1, lambda self: self._with_time_left(), index=PICK)
    def deadline_passes(self, index: int) -> None:
        self.step(self.stage.records.let("deadline_pass", job_id=self.pick(index, self._with_time_left()).id))

    def _with_time_left(self) -> list[Job]:
        return [job for job in self._in_time() if job.deadline]

    # --- proofs that messages are lost ---

    @event(1, lambda self: self.now.having("queued"))
    def messages_wait_long(self) -> None:
        """Which proves nothing: they may have to."""
        self.step(self.stage.records.let("time_pass"))

    @event(2, lambda self: self.now.having("queued") and not self.world.broker.work)
    def queue_is_found_empty(self) -> None:
        """By a worker that asked it a while after all that was announced."""
        self.step(self.stage.records.let("time_pass"))
        self.step(self.stage.records.let("queue_be_found_empty"))
        self.stage.seen["empty queue"] += bool(self.now.lost)

    @event(1, lambda self: self.now.having("queued") and self._claims(), index=PICK)
    def messages_are_overtaken(self, index: int) -> None:
        """Claim a message that was stamped long after all announcements."""
        self.step(self.stage.records.let("time_pass"))
        token = self.pick(index, self._claims()).lease_token
        self.step(self.stage.records.let("message_be_overtaken", token=token))
        self.stage.seen["overtaken"] += bool(self.now.lost)

    def _claims(self) -> list[Attempt]:
        return list(self.now.attempts)

    # --- pause ---

    @event(1, lambda self: not self.now.paused)
    def model_is_paused(self) -> None:
        self.step(self.stage.records.let("model_be_paused"))
        self.stage.seen["pause"] += 1

    @event(5, lambda self: self.now.paused)
    def model_is_resumed(self) -> None:
        self.step(self.stage.records.let("model_be_resumed"))

    # --- retention ---

    @event(1, lambda self: self._finished(), index=PICK)
    def retention_dies_early(self, index: int) -> None:
        self.step(self.world.draw_line(self.pick(index, self._finished()).id))
        self._check_line()

    @event(1, lambda self: self._finished(), index=PICK)
    def retention_passes(self, index: int) -> None:
        """Purge old jobs: those still referenced stay."""
        before = self.now
        job = self.pick(index, self._finished())
        self.step(self.world.purge(job.id))
        self._check_line()
        held = any(row.job_id == job.id and row.status in ("open", "replaying") for row in before.letters)
        may_go = self.now.is_purged(job.id) and not held
        gone = self.now.find(job.id) is None
        self.promise(gone == may_go, f"retention {'removed' if gone else 'kept'} job {job.id}")
        left = {other.id for other in before.jobs} - {other.id for other in self.now.jobs}
        self.promise(left <= self.world.aged, "retention removed a young job")
        self.stage.seen["purge"] += len(left)

    def _finished(self) -> list[Job]:
        """Those that are old enough: whatever a restored database forgot is younger, or is an orphan by now."""
        on_their_way = self.world.forgotten - {job.id for job in self.now.jobs} - self._orphans()
        youngest = min(map(milliseconds_of, on_their_way), default=None)
        return [job for job in self.now.having(*TERMINAL) if youngest is None or milliseconds_of(job.id) < youngest]

    def _check_line(self) -> None:
        passed = [job_id for job_id in self._orphans(open_alone=True) if self.now.is_purged(job_id)]
        self.promise(not passed, f"the line of retention passed the open orphans {passed}")

    def _orphans(self, *, open_alone: bool = False) -> set[UUID]:
        return {
            row.job_id
            for row in self.now.letters
            if row.kind == "orphan" and row.job_id and (row.status == "open" or not open_alone)
        }

    # --- Postgres ---

    @event(2, lambda self: self._newly_claimed(), index=PICK)
    def postgres_loses_a_claim(self, index: int) -> None:
        """Postgres crashes before the claim is on its disk. The worker does not notice."""
        self.step(self.world.lose_claim(self.pick(index, self._newly_claimed())))
        self.stage.seen["lost claim"] += 1

    def _newly_claimed(self) -> list[Job]:
        """Whatever comes after a claim is safe on the disk, and so is the claim then."""
        return [job for job in self.now.having("running") if not job.cancel_requested]

    @event(1, lambda self: self._younger_than_a_backup(), index=PICK)
    def database_is_restored(self, index: int) -> None:
        """From a backup that knows nothing of a job of which a message is under way."""
        self.step(self.world.forget(self.pick(index, self._younger_than_a_backup())))
        self.stage.seen["forgotten"] += 1

    def _younger_than_a_backup(self) -> list[Job]:
        """Return the jobs that a restore can lose: those not older than retention's line."""
        told_of = self.world.undecided()
        return [job for job in self.now.jobs if job.key in told_of and not (job.deleted or self.now.is_purged(job.id))]
