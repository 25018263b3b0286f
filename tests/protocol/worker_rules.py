"""What workers do, and what befalls them: the consumer's rows of the protocol's table."""

from collections.abc import Callable
from uuid import UUID

from tests.protocol.broker import in_order
from tests.protocol.events import PICK, WHETHER, event, one_of
from tests.protocol.machine import Frame
from tests.protocol.puppets import Ending
from tests.protocol.snapshot import Key, Snapshot
from tests.protocol.strings import Answer, Pause
from tests.protocol.worker import Worker

ANSWERS = one_of(Answer.HEARD, Answer.HEARD, Answer.HEARD, Answer.NOT_SENT, Answer.UNHEARD)
MOST_WORKERS = 4


class WorkerRules(Frame):
    def workers(self, which: Callable[[Worker], bool]) -> list[Worker]:
        return [worker for worker in self.world.workers if which(worker)]

    # --- the way of a message ---

    @event(
        5, lambda self: self.world.broker.work and self.workers(lambda worker: worker.listens), index=PICK, message=PICK
    )
    def message_is_delivered(self, index: int, message: int) -> None:
        line = self.pick(index, self.workers(lambda worker: worker.listens)).line
        line.deliver(self.pick(message, in_order(self.world.broker.work)))
        self.let_follow()

    @event(4, lambda self: self.world.pauses("fetch"), index=PICK, message=PICK, waits=WHETHER)
    def message_is_fetched_ahead(self, index: int, message: int, waits: bool) -> None:
        """While the job before is decoded. Where nothing waits, the worker asks again once the GPU is free."""
        worker, pause = self.pick(index, self.world.pauses("fetch"))
        waiting = in_order(self.world.broker.work) if waits else []
        self.stage.seen["claim ahead"] += bool(waiting)
        self.end(pause, worker.line.hand_over(self.pick(message, waiting)) if waiting else None)

    @event(6, lambda self: self.world.pauses("claim"), index=PICK, answer=ANSWERS)
    def claim_is_answered(self, index: int, answer: Answer) -> None:
        """Check that a claim takes a job whose guards hold, and changes nothing else."""
        worker, pause = self.pick(index, self.world.pauses("claim"))
        before = self.now
        assert pause.key is not None
        renders = _renders(worker, pause.key[0])
        self.end(pause, answer)
        if before.is_purged(pause.key[0]) and before.find(pause.key[0]) is None:
            rejected = any(other.key == pause.key for other in worker.strings.pauses if other.kind == "reject")
            self.promise(not rejected, "the message of a purged job is rejected")
        used = any(row.lease_token == pause.token for row in before.attempts)
        if answer is Answer.NOT_SENT or used or not _may_be_claimed(before, pause.key):
            self.promise(self.is_as(before), "a claim took what it must not")
        else:
            self.promise(self.now.job(pause.key[0]).lease_token == pause.token, "a claim did not take its job")
            self.stage.seen["claim while rendering"] += renders

    @event(4, lambda self: self.world.pauses("rendered claim"), index=PICK, answer=ANSWERS)
    def claim_of_what_is_rendered_is_answered(self, index: int, answer: Answer) -> None:
        """Check that a repeated claim takes its job, despite expiry or a wait."""
        _, pause = self.pick(index, self.world.pauses("rendered claim"))
        before = self.now
        self.stage.seen["rendered claim"] += 1
        self.end(pause, answer)
        assert pause.key is not None
        used = any(row.lease_token == pause.token for row in before.attempts)
        if answer is Answer.NOT_SENT or used or not _is_free(before, pause.key):
            self.promise(self.is_as(before), "a claim took what it must not")
        else:
            self.promise(self.now.job(pause.key[0]).lease_token == pause.token, "a claim did not take its job")

    @event(4, lambda self: self.world.pauses("look"), index=PICK, answer=ANSWERS)
    def look_is_answered(self, index: int, answer: Answer) -> None:
        """Check that a failure which may be counted already claims nothing."""
        before = self.now
        self.stage.seen["failure of another's"] += 1
        self.end(self.pick(index, self.world.pauses("look"))[1], answer)
        self.promise(self.is_as(before), "a look changed something")

    @event(4, lambda self: self.world.pauses("note"), index=PICK, answer=ANSWERS)
    def park_is_noted(self, index: int, answer: Answer) -> None:
        """Check that a parked message does not count as lost once its job's row says that it waits."""
        before = self.now
        _, pause = self.pick(index, self.world.pauses("note"))
        self.end(pause, answer)
        self.promise(self.is_as(before), "the note of a park changed more than times")
        if answer is not Answer.NOT_SENT:
            waits = {job.id for job in self.now.having("queued") if job.key == pause.key}
            self.promise(waits.isdisjoint(self.now.lost), "a message that waits in a lane counts as lost")
            self.stage.seen["park"] += len(waits)

    @event(4, lambda self: self.world.pauses("render"), index=PICK, ending=one_of(*Ending))
    def render_ends(self, index: int, ending: Ending) -> None:
        """End a render: aborted only after a request, which can also come after its end."""
        worker, pause = self.pick(index, self.world.pauses("render"))
        if worker.process.told_to_abort:
            ending = Ending.DONE if ending is Ending.DONE else Ending.ABORTED
        elif ending is Ending.ABORTED:
            ending = Ending.DONE
        self.stage.seen[f"render {ending.name.lower()}"] += 1
        assert pause.key is not None
        self.world.failures[pause.key[0]] += ending not in (Ending.DONE, Ending.ABORTED)
        self.end(pause, ending)

    @event(4, lambda self: self.world.pauses("upload"), index=PICK, stored=WHETHER)
    def upload_ends(self, index: int, stored: bool) -> None:
        _, pause = self.pick(index, self.world.pauses("upload"))
        assert pause.key is not None
        self.world.failures[pause.key[0]] += not stored
        self.end(pause, stored)

    @event(6, lambda self: self.world.pauses("settle"), index=PICK, answer=ANSWERS)
    def attempt_settles(self, index: int, answer: Answer) -> None:
        """Settle an attempt: a holder's write ends it, a write without the lease changes nothing."""
        _, pause = self.pick(index, self.world.pauses("settle"))
        if self.write(pause, answer) and answer is not Answer.NOT_SENT:
            assert pause.key is not None
            after = self.now.job(pause.key[0])
            self.promise(after.lease_token != pause.token, "a settled attempt goes on")
            self.promise(not after.too_late, "a retry waits beyond its deadline")

    @event(3, lambda self: self._at_work() and not self.world.pauses("heartbeat"), index=PICK)
    def heartbeat_is_due(self, index: int) -> None:
        """Make a heartbeat due at every worker that works on the job, with or without its lease."""
        job_id = self.pick(index, self._at_work())
        for worker in self.world.workers:
            worker.hurry(job_id)
        self.let_follow()

    def _at_work(self) -> list[UUID]:
        return sorted({pause.key[0] for _, pause in self.world.pauses("render", "upload") if pause.key})

    @event(4, lambda self: self.world.pauses("heartbeat"), index=PICK, answer=ANSWERS)
    def heartbeat_is_answered(self, index: int, answer: Answer) -> None:
        _, pause = self.pick(index, self.world.pauses("heartbeat"))
        if self.write(pause, answer) and answer is not Answer.NOT_SENT:
            assert pause.key is not None
            self.promise(not self.now.job(pause.key[0]).lease_over, "a heartbeat did not extend the lease")

    @event(3, lambda self: self.world.pauses("ack", "reject"), index=PICK)
    def message_is_disposed_of(self, index: int) -> None:
        _, pause = self.pick(index, self.world.pauses("ack", "reject"))
        self.end(pause)

    @event(2, lambda self: self._rendering_to_a_deadline(), index=PICK)
    def deadline_is_reached(self, index: int) -> None:
        """Pass the deadline by the worker's own clock: the render must stop."""
        worker, job_id = self.pick(index, self._rendering_to_a_deadline())
        self.step(self.stage.records.let("deadline_pass", job_id=job_id))
        worker.reach_deadline(job_id)
        self.let_follow()
        self.stage.seen["deadline reached"] += 1
        self.promise(worker.process.told_to_abort, "a render goes on past its deadline")

    def _rendering_to_a_deadline(self) -> list[tuple[Worker, UUID]]:
        timed = {job.id for job in self.now.having("running") if job.deadline}
        renders = [(worker, pause.key[0]) for worker, pause in self.world.pauses("render") if pause.key]
        return [(worker, job_id) for worker, job_id in renders if job_id in timed]

    def write(self, pause: Pause, answer: Answer) -> bool:
        """Let a holder write. Whether it still held its job; if not, its write must not show."""
        before = self.now
        holds = any(job.lease_token == pause.token for job in before.having("running"))
        self.stage.seen["write" if holds else "stale write"] += 1
        self.end(pause, answer)
        self.promise(holds or self.is_as(before), "a stale write shows")
        return holds

    def end(self, pause: Pause, how: object = None) -> None:
        pause.end(how)
        self.let_follow()

    # --- the life of a worker ---

    @event(1, lambda self: self.workers(_is_busy), index=PICK)
    def worker_is_killed(self, index: int) -> None:
        self.step(self.world.kill(self.pick(index, self.workers(_is_busy))))

    @event(3, lambda self: self._names_to_take(), index=PICK)
    def worker_starts(self, index: int) -> None:
        """Where one has the name already, that one was frozen and lost its lock: it goes on without knowing."""
        name = self.pick(index, self._names_to_take())
        self.step(self.world.start_worker(name))
        held = [job for job in self.now.having("running") if job.worker == name]
        self.promise(not held, "a worker began with its predecessor's jobs")

    def _names_to_take(self) -> list[str]:
        idle = {worker.name for worker in self.world.workers if worker.listens}
        return [name for name in ("a", "b") if name not in idle and len(self.world.workers) < MOST_WORKERS]

    @event(3, lambda self: self.workers(_may_be_told_to_stop), index=PICK)
    def worker_is_told_to_stop(self, index: int) -> None:
        self.pick(index, self.workers(_may_be_told_to_stop)).begin_drain()
        self.let_follow()

    @event(5, lambda self: self.workers(lambda worker: worker.draining and not worker.aborting), index=PICK)
    def time_to_finish_is_over(self, index: int) -> None:
        draining = self.workers(lambda worker: worker.draining and not worker.aborting)
        self.pick(index, draining).end_drain()
        self.let_follow()

    @event(3, lambda self: self._unaware_of_the_pause(), index=PICK)
    def session_beats(self, index: int) -> None:
        """Send a session heartbeat: the worker receives whether the model is paused."""
        worker = self.pick(index, self._unaware_of_the_pause())
        self.step(worker.beat())
        self.promise(worker.obeys_a_pause == self.now.paused, "a pause was not received")

    def _unaware_of_the_pause(self) -> list[Worker]:
        return self.workers(lambda worker: worker.obeys_a_pause != self.now.paused)

    @event(1, lambda self: self.workers(lambda worker: worker.claims_with_a_warm_process), index=PICK)
    def render_process_dies_during_the_claim(self, index: int) -> None:
        self.pick(index, self.workers(lambda worker: worker.claims_with_a_warm_process)).lose_process()
        self.let_follow()

    @event(4, lambda self: self._with_a_sick_gpu(), index=PICK)
    def worker_closes_for_its_gpu(self, index: int) -> None:
        """Check that the streak's attempts are refunded, at most three times a job, except of ended jobs."""
        before = self.now
        worker = self.pick(index, self._with_a_sick_gpu())
        self.step(worker.close_for_its_gpu())
        known = {row.lease_token for row in before.attempts if row.refunded}
        refunded = [row for row in self.now.attempts if row.refunded and row.lease_token not in known]
        self.stage.seen["refund of a streak"] += bool(refunded)
        strangers = [row for row in refunded if row.lease_token not in worker.losses.tokens]
        self.promise(not strangers, "an attempt was refunded that lost no render process")

    def _with_a_sick_gpu(self) -> list[Worker]:
        return self.workers(lambda worker: worker.losses.is_sick and not worker.draining)

    @event(2, lambda self: self.workers(lambda worker: worker.process.ready is None), index=PICK)
    def render_process_is_restarted(self, index: int) -> None:
        self.pick(index, self.workers(lambda worker: worker.process.ready is None)).restart_process()
        self.let_follow()


def _renders(worker: Worker, job_id: UUID) -> bool:
    return any(pause.kind == "render" and pause.key and pause.key[0] == job_id for pause in worker.strings.pauses)


def _is_busy(worker: Worker) -> bool:
    return bool(worker.strings.pauses)


def _may_be_told_to_stop(worker: Worker) -> bool:
    return not worker.draining and any(pause.kind in ("claim", "render") for pause in worker.strings.pauses)


def _may_be_claimed(now: Snapshot, key: Key) -> bool:
    job = now.find(key[0])
    return _is_free(now, key) and not (job is None or job.expired or job.waiting or now.paused)


def _is_free(now: Snapshot, key: Key) -> bool:
    job = now.find(key[0])
    return job is not None and job.key == key and job.status == "queued" and job.attempt < job.max_attempts
