"""What clients, the relay and the broker do."""

from uuid import UUID

from tests.protocol.broker import Fault, Message, in_order
from tests.protocol.events import PICK, WHETHER, event, number, one_of
from tests.protocol.machine import EVENTS, Frame
from tests.protocol.snapshot import TERMINAL

MOST_JOBS = 8
MOST_MESSAGES = 4


class OuterRules(Frame):
    @event(2, lambda self: len(self.now.jobs) < MOST_JOBS, count=number(1, 2), events=EVENTS)
    def submit(self, count: int, events: tuple[str, ...]) -> None:
        before = len(self.now.jobs)
        self.step(self.world.submit(count, events))
        self.promise(len(self.now.jobs) == before + count, "a submission was not recorded")

    @event(1, lambda self: self._forgotten_with_keys(), index=PICK)
    def request_is_repeated(self, index: int) -> None:
        before = len(self.now.jobs)
        self.step(self.world.submit_again(self.pick(index, self._forgotten_with_keys())))
        self.promise(len(self.now.jobs) == before + 1, "a repeated request was not recorded")

    def _forgotten_with_keys(self) -> list[UUID]:
        """Jobs that the database does not know, under keys that it does not know."""
        gone = sorted(self.world.forgotten - {job.id for job in self.now.jobs})
        known = self.now.keys.keys()
        return [job_id for job_id in gone if job_id in self.world.keys and self.world.keys[job_id] not in known]

    @event(2, lambda self: self.now.having("queued", "running"), index=PICK, heard=WHETHER)
    def cancel(self, index: int, heard: bool) -> None:
        """Cancel a job: a queued one ends, a running one's holder receives it at once or with its next heartbeat."""
        before = self.pick(index, self.now.having("queued", "running"))
        self.step(self.world.cancel(before.id))
        after = self.now.job(before.id)
        if before.status == "queued":
            self.promise(after.status == "canceled", "a cancel left a job waiting")
            return
        self.promise(after.cancel_requested, "a cancel was forgotten")
        for worker in self.world.workers if heard else ():
            worker.hurry(before.id)
        self.let_follow()

    @event(1, lambda self: self.now.having(*TERMINAL), index=PICK)
    def cancel_comes_too_late(self, index: int) -> None:
        before = self.now
        self.step(self.world.cancel(self.pick(index, before.having(*TERMINAL)).id))
        self.promise(self.is_as(before), "a cancel changed a job that had ended")

    @event(1, lambda self: self.now.having(*TERMINAL), index=PICK)
    def delete(self, index: int) -> None:
        """Delete a job that has ended, and discard its open letters."""
        job = self.pick(index, self.now.having(*TERMINAL))
        deleted = self.step(self.world.delete(job.id))
        self.promise(deleted != job.deleted and self.now.job(job.id).deleted, "a job that ended was not deleted")
        self.stage.seen["delete"] += 1

    @event(1, lambda self: self.now.having("queued", "running"), index=PICK)
    def delete_comes_too_early(self, index: int) -> None:
        before = self.now
        self.step(self.world.delete(self.pick(index, before.having("queued", "running")).id))
        self.promise(self.is_as(before), "a job was deleted that had not ended")

    # --- relay ---

    @event(5, lambda self: self.now.outbox)
    def relay_publishes(self) -> None:
        self.step(self.world.run_relay())

    @event(1, lambda self: self.now.publishable() and len(self.world.broker.work) < MOST_MESSAGES)
    def relay_dies_before_it_deletes(self) -> None:
        self.world.broker.faults.clear()
        before = self.now
        self.step(self.world.run_relay_to_its_death())
        self.promise(self.is_as(before), "a relay that died left a trace")

    @event(1, lambda self: not self.world.broker.faults, fault=one_of(*Fault))
    def next_publish_fails(self, fault: Fault) -> None:
        self.world.broker.faults.append(fault)

    # --- broker ---

    @event(3, lambda self: self.world.broker.waiting, index=PICK)
    def lane_ends(self, index: int) -> None:
        self.world.broker.end_wait(self.pick(index, in_order(self.world.broker.waiting)))
        self.let_follow()

    @event(1, lambda self: self.world.broker.keys())
    def broker_loses_its_data(self) -> None:
        self.world.lose_broker()

    @event(1, lambda self: self._lying(), index=PICK)
    def broker_loses_a_message(self, index: int) -> None:
        self.world.lose_message(self.pick(index, self._lying()))

    def _lying(self) -> list[Message]:
        return in_order(self.world.broker.work) + in_order(self.world.broker.waiting)

    @event(3, lambda self: any(worker.line.held for worker in self.world.workers), index=PICK)
    def channel_is_lost(self, index: int) -> None:
        held = [(worker.line, delivery) for worker in self.world.workers for delivery in worker.line.held]
        line, delivery = self.pick(index, held)
        line.lose(delivery)

    @event(1, lambda self: not any(message.key is None for message in self.world.broker.work))
    def undecodable_message_comes(self) -> None:
        self.world.broker.work.append(Message(b"\x00garbage", {}))
