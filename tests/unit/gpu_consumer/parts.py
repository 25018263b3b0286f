"""Messages, claims and fakes of the parts that the steps of an attempt work with."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec

from chassis.errors import StorageUnavailableError
from darkroom_contracts.api import JobError, JobInput
from darkroom_contracts.messages import RenderMessage
from darkroom_contracts.messages.v1 import Preview, Progress, Render, encode
from darkroom_contracts.models import Model, Range
from darkroom_contracts.objects import StoredOutput
from darkroom_contracts.states import JobStatus
from darkroom_contracts.topology import Lane, Lanes
from gpu_consumer import protocol
from gpu_consumer.job.outcome import Succeeded
from gpu_consumer.job.store import Beat, Letter
from gpu_consumer.job.verdict import Claimed, NotDue, Refusal, Verdict
from gpu_consumer.protocol import Aborted, Picture, Ready, Rendered, RenderedImage
from gpu_consumer.renderer.process import OnPicture, OnPreview, OnStep
from gpu_consumer.renderer.renderer import Failure
from tests.support.models import job_input, picture, ready, rendered

JOB_ID = UUID(int=1)
MESSAGE = Render(JOB_ID, 1, "tiny", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
BODY = encode(MESSAGE)
SIDE = Range(64, 128, 64)
MODEL = Model("tiny", "tiny", ("ddim",), SIDE, SIDE, Range(1, 100, 4), Range(0, 20, 7.5), 4, 10_000_000)
LANES = Lanes.of((1, 60))
LETTER = Letter(BODY, {})
LEASE_SECONDS = 15.0


def claim_of(**changes: Any) -> Claimed:
    """Return a claim of the message's job, with changes."""
    values: dict[str, Any] = {
        "job_id": JOB_ID,
        "generation": 1,
        "token": uuid4(),
        "attempt": 1,
        "model": "tiny",
        "input": msgspec.json.encode(job_input()),
    }
    return Claimed(**(values | changes))


class FakeStore:
    """JobStore in memory: it answers as the test sets it, and keeps what was asked and written."""

    lease_seconds = LEASE_SECONDS

    def __init__(self) -> None:
        self.verdicts: list[Verdict | Exception] = [claim_of()]
        """The answers to claims, one after the other; the last one stays."""
        self.look_verdict: Refusal = NotDue(5.0)
        self.held = True
        """Whether heartbeats and the first write find the job held."""
        self.written: list[tuple[Any, ...]] = []
        self.claims: list[tuple[UUID, bool]] = []
        self.answers = asyncio.Event()
        """Until it is set no claim is answered."""
        self.answers.set()

    async def claim(self, message: RenderMessage, token: UUID, *, rendered: bool = False) -> Verdict:
        self.claims.append((token, rendered))
        await self.answers.wait()
        verdict = self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    async def look(self, message: RenderMessage) -> Refusal:
        self.written.append(("look",))
        return self.look_verdict

    async def heartbeat(self, claimed: Claimed, step: int | None, steps: int | None) -> Beat | None:
        return Beat(cancel_requested=False) if self.held else None

    async def note_parked(self, message: RenderMessage, wait: timedelta) -> None:
        self.written.append(("parked", wait))

    async def succeed(self, claimed: Claimed, success: Succeeded) -> JobStatus | None:
        return self._write(JobStatus.SUCCEEDED, success)

    async def fail(
        self, claimed: Claimed, error: JobError, detail: Mapping[str, Any], letter: Letter
    ) -> JobStatus | None:
        return self._write(JobStatus.FAILED, error, letter)

    async def cancel(self, claimed: Claimed) -> JobStatus | None:
        return self._write(JobStatus.CANCELED)

    async def expire(self, claimed: Claimed, error: JobError) -> JobStatus | None:
        return self._write(JobStatus.EXPIRED, error)

    async def retry(
        self, claimed: Claimed, error: JobError, detail: Mapping[str, Any], lane: Lane, letter: Letter
    ) -> JobStatus | None:
        return self._write(JobStatus.QUEUED, error, lane)

    async def release(self, claimed: Claimed) -> JobStatus | None:
        return self._write(JobStatus.QUEUED)

    def _write(self, status: JobStatus, *values: Any) -> JobStatus | None:
        self.written.append((status, *values))
        held, self.held = self.held, True
        return status if held else None


Render_ = Callable[["FakeRenderer", OnStep, OnPicture], Awaitable[Rendered | Aborted | Failure]]


async def render_well(renderer: "FakeRenderer", on_step: OnStep, on_picture: OnPicture) -> Rendered:
    """Report three steps and one picture."""
    for step in range(1, 4):
        on_step(protocol.Step(step, 3))
    on_picture(picture(RenderedImage(64, 64, 7, b"")))
    return rendered()


async def render_until_aborted(renderer: "FakeRenderer", on_step: OnStep, on_picture: OnPicture) -> Aborted:
    """Report one step, then wait for the abort."""
    on_step(protocol.Step(1, 3))
    await renderer.aborted.wait()
    return Aborted(1)


class FakeRenderer:
    """A renderer whose renders go as the test says."""

    def __init__(self, how: Render_ = render_well) -> None:
        self.ready: Ready | None = ready()
        self.how = how
        self.aborted = asyncio.Event()
        self.renders: list[bool] = []
        """Of each render that began, whether it was frugal."""

    async def warm(self) -> None:
        await asyncio.Event().wait()

    async def render(
        self, wanted: JobInput, on_step: OnStep, on_preview: OnPreview, on_picture: OnPicture, *, frugal: bool
    ) -> Rendered | Aborted | Failure:
        self.renders.append(frugal)
        on_preview(protocol.Preview(1, 8, 8, b"png"))
        return await self.how(self, on_step, on_picture)

    async def abort(self) -> None:
        self.aborted.set()


class FakeFeed:
    """Keeps what would be published."""

    def __init__(self) -> None:
        self.steps: list[Progress] = []
        self.previews: list[Preview] = []

    def report(self, step: Progress) -> None:
        self.steps.append(step)

    def show(self, preview: Preview) -> None:
        self.previews.append(preview)


class FakePictures:
    """A bucket that is there or away, and that may be slow."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.passes = asyncio.Event()
        self.passes.set()
        self.at_work = 0

    async def store(
        self, job_id: UUID, model: str, wanted: JobInput, pictures: tuple[Picture, ...], ready: Ready
    ) -> tuple[StoredOutput, ...]:
        self.at_work += 1
        await self.passes.wait()
        self.at_work -= 1
        if self.error is not None:
            raise self.error
        return (StoredOutput(0, "key", "image/png", 64, 64, 9, "ab" * 32, 7),)


class FakeParking:
    """Lanes that take messages, or don't."""

    def __init__(self) -> None:
        self.lane: Lane | None = LANES.covering(50_000)
        self.waits: list[float] = []

    async def park(self, message: RenderMessage, wait_ms: float) -> Lane | None:
        self.waits.append(wait_ms)
        return self.lane


AWAY = StorageUnavailableError("s3.internal does not answer")
