"""What workers do, and what befalls them: the consumer's rows of the protocol's table."""

from collections.abc import Callable

from tests.protocol.broker import in_order
from tests.protocol.events import PICK, WHETHER, event, one_of
from tests.protocol.machine import Frame
from tests.protocol.puppets import Ending
from tests.protocol.snapshot import Job
from tests.protocol.strings import Answer, Pause
from tests.protocol.worker import Worker

ANSWERS = one_of(Answer.HEARD, Answer.HEARD, Answer.HEARD, Answer.NOT_SENT, Answer.UNHEARD)
MOST_WORKERS = 4


class WorkerRules(Frame):
    def workers(self, which: Callable[[Worker], bool]) -> list[Worker]:
        return [worker for worker in self.world.workers if which(worker)]

    # --- the way of a message ---

    @event(
        3, lambda self: self.world.broker.work and self.workers(lambda worker: worker.listens), index=PICK, message=PICK
    )
    def message_is_delivered(self, index: int, message: int) -> None:
        line = self.pick(index, self.workers(lambda worker: worker.listens)).line
        line.deliver(self.pick(message, in_order(self.world.broker.work)))
        self.let_follow()

    @event(4, lambda self: self.world.pauses("claim"), index=PICK, answer=ANSWERS)
    def claim_is_answered(self, index: int, answer: Answer) -> None:
        """A claim takes what may be taken, and leaves everything else alone."""
        _, pause = self.pick(index, self.world.pauses("claim"))
        before = self.now
        self.end(pause, answer)
        assert pause.key is not None
        used = any(row.lease_token == pause.token for row in before.attempts)
        if answer is Answer.NOT_SENT or used or not _may_be_claimed(before.job(pause.key[0]), pause.key[1]):
            self.promise(self.now == before, "a claim took what it must not")
        else:
            self.promise(self.now.job(pause.key[0]).lease_token == pause.token, "a claim did not take its job")

    @event(4, lambda self: self.world.pauses("rendered claim"), index=PICK, answer=ANSWERS)
    def claim_of_what_is_rendered_is_answered(self, index: int, answer: Answer) -> None:
        """It takes its job as a claim does, and neither expiry nor a wait stands in its way."""
        _, pause = self.pick(index, self.world.pauses("rendered claim"))
        before = self.now
        self.stage.seen["rendered claim"] += 1
        self.end(pause, answer)
        assert pause.key is not None
        used = any(row.lease_token == pause.token for row in before.attempts)
        if answer is Answer.NOT_SENT or used or not _is_free(before.job(pause.key[0]), pause.key[1]):
            self.promise(self.now == before, "a claim took what it must not")
        else:
            self.promise(self.now.job(pause.key[0]).lease_token == pause.token, "a claim did not take its job")

    @event(4, lambda self: self.world.pauses("look"), index=PICK, answer=ANSWERS)
    def look_is_answered(self, index: int, answer: Answer) -> None:
        before = self.now
        self.end(self.pick(index, self.world.pauses("look"))[1], answer)
        self.promise(self.now == before, "a look changed something")

    @event(4, lambda self: self.world.pauses("render"), index=PICK, ending=one_of(*Ending))
    def render_ends(self, index: int, ending: Ending) -> None:
        """It is aborted only when it was told to; one that was told so may be done by then."""
        worker, pause = self.pick(index, self.world.pauses("render"))
        if worker.process.told_to_abort:
            ending = Ending.DONE if ending is Ending.DONE else Ending.ABORTED
        elif ending is Ending.ABORTED:
            ending = Ending.DONE
        self.stage.seen[f"render {ending.name.lower()}"] += 1
        self.end(pause, ending)

    @event(4, lambda self: self.world.pauses("upload"), index=PICK, stored=WHETHER)
    def upload_ends(self, index: int, stored: bool) -> None:
        _, pause = self.pick(index, self.world.pauses("upload"))
        self.end(pause, stored)

    @event(4, lambda self: self.world.pauses("settle"), index=PICK, answer=ANSWERS)
    def attempt_settles(self, index: int, answer: Answer) -> None:
        """The holder's word ends the attempt; the word of one who lost its lease changes nothing."""
        _, pause = self.pick(index, self.world.pauses("settle"))
        if self.write(pause, answer) and answer is not Answer.NOT_SENT:
            assert pause.key is not None
            self.promise(self.now.job(pause.key[0]).lease_token != pause.token, "a settled attempt goes on")

    @event(2, lambda self: self.now.having("running") and not self.world.pauses("heartbeat"), index=PICK)
    def heartbeat_is_due(self, index: int) -> None:
        job = self.pick(index, self.now.having("running"))
        for worker in self.world.workers:
            worker.hurry(job.id)
        self.let_follow()

    @event(2, lambda self: self.world.pauses("heartbeat"), index=PICK, answer=ANSWERS)
    def heartbeat_is_answered(self, index: int, answer: Answer) -> None:
        _, pause = self.pick(index, self.world.pauses("heartbeat"))
        if self.write(pause, answer) and answer is not Answer.NOT_SENT:
            assert pause.key is not None
            self.promise(not self.now.job(pause.key[0]).lease_over, "a heartbeat did not extend the lease")

    @event(3, lambda self: self.world.pauses("dispose"), index=PICK)
    def message_is_disposed_of(self, index: int) -> None:
        _, pause = self.pick(index, self.world.pauses("dispose"))
        self.end(pause)

    def write(self, pause: Pause, answer: Answer) -> bool:
        """Let a holder write. Whether it still held its job; if not, its write must not show."""
        before = self.now
        holds = any(job.lease_token == pause.token for job in before.having("running"))
        self.stage.seen["write" if holds else "stale write"] += 1
        self.end(pause, answer)
        self.promise(holds or self.now == before, "a stale write shows")
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
        self.step(self.pick(index, draining).end_drain())

    @event(1, lambda self: self.workers(lambda worker: worker.claims_with_a_warm_process), index=PICK)
    def render_process_dies_during_the_claim(self, index: int) -> None:
        self.pick(index, self.workers(lambda worker: worker.claims_with_a_warm_process)).lose_process()
        self.let_follow()

    @event(2, lambda self: self.workers(lambda worker: worker.process.ready is None), index=PICK)
    def render_process_is_restarted(self, index: int) -> None:
        self.pick(index, self.workers(lambda worker: worker.process.ready is None)).restart_process()
        self.let_follow()


def _is_busy(worker: Worker) -> bool:
    return bool(worker.strings.pauses)


def _may_be_told_to_stop(worker: Worker) -> bool:
    return not worker.draining and any(pause.kind in ("claim", "render") for pause in worker.strings.pauses)


def _may_be_claimed(job: Job, generation: int) -> bool:
    return _is_free(job, generation) and not (job.expired or job.waiting)


def _is_free(job: Job, generation: int) -> bool:
    return job.status == "queued" and job.generation == generation and job.attempt < job.max_attempts
