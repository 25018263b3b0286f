"""What the operations service does: sweeps, the ingest of dead messages, replays."""

from tests.protocol.broker import in_order
from tests.protocol.events import PICK, WHETHER, event
from tests.protocol.machine import Frame


class OperationsRules(Frame):
    @event(4, lambda self: any(job.lease_over for job in self.now.jobs))
    def lost_leases_are_reaped(self) -> None:
        """Twice at one time. Nobody's good lease is touched."""
        before = self.now
        self.step(self.world.sweep_at_once(self.world.rescue))
        self.promise(not any(job.lease_over for job in self.now.jobs), "a lost lease was not reaped")
        for job in before.jobs:
            untouched = job.lease_over or self.now.job(job.id).lease_token == job.lease_token
            self.promise(untouched, "a good lease was reaped")

    @event(2, lambda self: any(job.expired for job in self.now.having("queued")))
    def overlong_waits_end(self) -> None:
        self.step(self.world.sweep_at_once(self.world.expire))
        self.promise(not any(job.expired for job in self.now.having("queued")), "an overlong wait went on")

    @event(2, lambda self: any(job.overdue for job in self.now.having("queued")))
    def overdue_jobs_are_republished(self) -> None:
        before = self.now
        self.step(self.world.sweep_at_once(self.world.republish))
        rows = {(row.job_id, row.generation) for row in self.now.outbox}
        overdue = {job.key for job in before.having("queued") if job.overdue}
        self.promise(rows >= overdue, "an overdue job was not republished")
        self.promise(set(before.outbox) <= set(self.now.outbox), "a waiting outbox row was changed")

    @event(3, lambda self: self.world.broker.dead, index=PICK, dies=WHETHER)
    def dead_message_is_ingested(self, index: int, dies: bool) -> None:
        self.step(self.world.ingest(self.pick(index, in_order(self.world.broker.dead)), dies=dies))

    @event(2, lambda self: self.now.letters, index=PICK)
    def letter_is_replayed(self, index: int) -> None:
        """Twice at one time: an open letter's job is queued again once, and no other is touched."""
        letter = self.pick(index, self.now.letters)
        before = self.now
        replayed = self.step(self.world.replay_at_once(letter.id))
        may_be = letter.kind == "job" and letter.status == "open"
        self.promise(replayed == may_be, f"a letter that is {letter.status} was replayed {replayed} times")
        self.promise(may_be or self.now == before, "a refused replay left a trace")
