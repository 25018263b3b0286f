"""The render process as the service sees it: real processes, real signals.

All of it holds for the real tiny model and for the stand-in, which other tests use where pictures don't matter.
"""

import asyncio
import io
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import structlog
from PIL import Image

from darkroom_contracts.errors import JobErrorCode
from gpu_consumer import protocol
from gpu_consumer.models import model_folder
from gpu_consumer.renderer import child_process
from gpu_consumer.renderer.process import Limits, RenderProcess, RenderProcessLostError
from gpu_consumer.startup import (
    DeviceMissingError,
    ExitCode,
    ModelMissingError,
    RenderProcessFailedError,
    RenderProcessStuckError,
)
from tests.support.models import job_input, load_of
from tests.support.renderers import REAL, STAND_IN, rendered_by
from tests.support.waiting import eventually

LONG = job_input(num_inference_steps=500)
"""Some ten seconds: every test ends it long before."""


def load(folder: Path, device: protocol.Device = "cpu") -> protocol.Load:
    return load_of(folder, device=device)


def unwatched(step: protocol.Step) -> None:
    """No test looks at these steps."""


def at_step(number: int, act: Callable[[], object]) -> Callable[[protocol.Step], None]:
    """Return a watcher that acts once, at one step."""

    def watch(step: protocol.Step) -> None:
        if step.step == number:
            act()

    return watch


async def picture(process: RenderProcess, **changes: Any) -> bytes:
    """Return the reference picture, with changes of its input."""
    pictures: list[protocol.Picture] = []
    outcome = await process.render(job_input(**changes), unwatched, on_picture=pictures.append)
    assert isinstance(outcome, protocol.Rendered)
    return pictures[0].image.rgb


costs_a_process = pytest.mark.parametrize(
    "program", [pytest.param(REAL, marks=pytest.mark.long), STAND_IN], indirect=True, scope="module"
)
"""Marks tests that end their process and look at the service's side of it: PyTorch takes seconds to start anew."""


@pytest.fixture(scope="module", params=[REAL, STAND_IN])
def program(request: pytest.FixtureRequest) -> Iterator[str]:
    """Start render processes from this module."""
    with rendered_by(request.param):
        yield request.param


@pytest.fixture(scope="module")
async def warm(program: str, tiny_model: Path) -> AsyncIterator[RenderProcess]:
    """One process for the tests of this module; each leaves it warm."""
    process = RenderProcess(load(tiny_model))
    with pytest.MonkeyPatch.context() as service:
        service.setenv("DARKROOM_DATABASE_URL", "postgresql://user:secret@127.0.0.1/darkroom")
        await process.start()
    yield process
    await process.stop()


@pytest.fixture(scope="module")
async def spare(program: str, tiny_model: Path) -> AsyncIterator[RenderProcess]:
    """Return the process behind `own`, which hangs after a second of silence."""
    process = RenderProcess(load(tiny_model), Limits(step=1.0))
    yield process
    await process.stop()


@pytest.fixture
async def own(spare: RenderProcess) -> RenderProcess:
    """Return a warm process that a test may kill; it is restarted only after a test did."""
    if spare.ready is None:
        await spare.restart()
    return spare


async def test_ready_tells_what_was_loaded(warm: RenderProcess) -> None:
    """A warm process tells device, precision, revision and versions for the jobs' receipts."""
    ready = warm.ready
    assert ready is not None
    assert (ready.device, ready.dtype) == ("cpu", "float32")
    assert ready.model_revision.startswith("sha256:")
    assert {"torch", "diffusers", "transformers"} <= ready.versions.keys()
    assert ready.warmup_seconds > 0
    assert ready.load_seconds > 0
    assert ready.memory_bytes > 0


async def test_ready_names_the_folder(warm: RenderProcess, tiny_model: Path) -> None:
    """The revision and the manifest are those of the files in the model's folder."""
    folder = model_folder.inspect(tiny_model, prefer_half=False, pipeline="StableDiffusionPipeline")
    assert warm.ready is not None
    assert warm.ready.model_revision == folder.revision
    assert warm.ready.manifest_sha256 == folder.manifest_sha256


async def test_a_folder_that_is_not_there(program: str, tmp_path: Path) -> None:
    """A missing model is refused with an exit code of its own."""
    process = RenderProcess(load(tmp_path / "nothing"))
    with pytest.raises(ModelMissingError) as refusal:
        await process.start()
    assert refusal.value.exit_code == ExitCode.MODEL_MISSING


async def test_render_reports_every_step(warm: RenderProcess) -> None:
    """A render reports each step in order, those of all pictures, then each picture with its seed, then its figures."""
    steps: list[protocol.Step] = []
    pictures: list[protocol.Picture] = []
    outcome = await warm.render(
        job_input(num_inference_steps=5, num_images=2), steps.append, on_picture=pictures.append
    )
    assert steps == [protocol.Step(step, 10) for step in range(1, 11)]
    assert isinstance(outcome, protocol.Rendered)
    assert [(picture.index, picture.image.seed) for picture in pictures] == [(0, 7), (1, 8)]
    assert {len(picture.image.rgb) for picture in pictures} == {64 * 64 * 3}
    assert outcome.inference_ms > 0


async def test_previews_lie_between_the_steps(warm: RenderProcess) -> None:
    """A preview comes after each step that it was asked for, but not after the last: an eighth as wide, as a PNG."""
    events: list[protocol.Step | protocol.Preview] = []
    wanted = job_input(num_inference_steps=5, preview_every=2, width=128, num_images=2)
    outcome = await warm.render(wanted, events.append, on_preview=events.append)
    assert isinstance(outcome, protocol.Rendered)
    previews = [event for event in events if isinstance(event, protocol.Preview)]
    assert [(preview.step, preview.width, preview.height) for preview in previews] == [(2, 16, 8), (4, 16, 8)]
    assert [Image.open(io.BytesIO(preview.png)).size for preview in previews] == [(16, 8), (16, 8)]
    assert [events[events.index(preview) - 1] for preview in previews] == [protocol.Step(2, 10), protocol.Step(4, 10)]


async def test_figures_of_a_render(warm: RenderProcess) -> None:
    """The answer after the pictures counts its steps, and its phases add up to its time."""
    outcome = await warm.render(job_input(num_inference_steps=4, scheduler="euler"), unwatched)
    assert isinstance(outcome, protocol.Rendered)
    assert (outcome.steps, outcome.batch_size, outcome.tiled, outcome.vae_dtype) == (4, 1, False, "float32")
    assert 1000 * (outcome.phases.denoise + outcome.phases.decode) == pytest.approx(outcome.inference_ms, abs=1)
    assert outcome.peak_memory_bytes > 0


@pytest.mark.parametrize("change", [{"prompt": "two squares"}, {"seed": 8}, {"num_inference_steps": 4}])
async def test_pictures_depend_on_the_input(warm: RenderProcess, change: dict[str, Any]) -> None:
    """The same input gives the same bytes again, and a changed one others."""
    assert await picture(warm) == await picture(warm)
    assert await picture(warm, **change) != await picture(warm)


async def test_a_picture_depends_on_its_own_seed(warm: RenderProcess) -> None:
    """The second picture of a request equals the first of one whose seed is the next."""
    pictures: list[protocol.Picture] = []
    await warm.render(job_input(num_images=2), unwatched, on_picture=pictures.append)
    assert pictures[1].image.rgb == await picture(warm, seed=8)


@pytest.mark.parametrize(
    "change",
    [{"num_inference_steps": 1001}, {"num_inference_steps": 0}, {"num_images": 0}, {"width": 65}, {"height": 0}],
)
async def test_refused_input(warm: RenderProcess, change: dict[str, Any]) -> None:
    """Input that no render process takes is refused before the first step, for good."""
    steps: list[protocol.Step] = []
    outcome = await warm.render(job_input(**change), steps.append)
    assert isinstance(outcome, protocol.RenderFailed)
    assert (outcome.code, outcome.kind, steps) == (JobErrorCode.INPUT_NOT_RENDERABLE, "permanent", [])


async def test_abort_leaves_the_process_warm(warm: RenderProcess) -> None:
    """An aborted render ends within one step of the order; the next job has the bytes that it would have without it."""
    before = await picture(warm)
    ordered: list[asyncio.Task[None]] = []
    watch = at_step(5, lambda: ordered.append(asyncio.create_task(warm.abort())))
    outcome = await warm.render(LONG, watch)
    assert isinstance(outcome, protocol.Aborted)
    assert 5 <= outcome.step < 50
    assert await picture(warm) == before


async def test_abort_with_nothing_to_abort(warm: RenderProcess) -> None:
    """An abort that comes after the end of its render does not touch the next one."""
    await warm.abort()
    assert await picture(warm)


async def test_failed_input_leaves_the_process_warm(warm: RenderProcess) -> None:
    """Input that can't be rendered is a failure of the job, not of the process."""
    outcome = await warm.render(job_input(scheduler="unheard-of"), unwatched)
    assert isinstance(outcome, protocol.RenderFailed)
    assert (outcome.code, outcome.kind) == (JobErrorCode.INPUT_NOT_RENDERABLE, "permanent")
    assert await picture(warm)


async def test_one_render_at_a_time(warm: RenderProcess) -> None:
    """A second render while one runs is a mistake of the caller and is refused as such."""
    begun = asyncio.Event()
    first = asyncio.create_task(warm.render(LONG, at_step(1, begun.set)))
    await begun.wait()
    with pytest.raises(RuntimeError, match="one request at a time"):
        await warm.render(job_input(), unwatched)
    await warm.abort()
    assert isinstance(await first, protocol.Aborted)


async def test_event_loop_stays_free(warm: RenderProcess) -> None:
    """While a picture renders, the event loop is never held up for as long as one step takes."""
    rendering = asyncio.create_task(warm.render(job_input(num_inference_steps=2, width=512, height=512), unwatched))
    loop = asyncio.get_running_loop()
    lags: list[float] = []
    while not rendering.done():
        before = loop.time()
        await asyncio.sleep(0.01)
        lags.append(loop.time() - before - 0.01)
    assert isinstance(rendering.result(), protocol.Rendered)
    assert sorted(lags)[len(lags) // 2] < 0.05


async def test_stands_in_a_session_of_its_own(warm: RenderProcess) -> None:
    """The process has a session of its own, so a Ctrl-C at the terminal does not reach it."""
    assert warm.pid is not None
    assert os.getsid(warm.pid) == warm.pid != os.getsid(0)


async def test_holds_no_credentials(warm: RenderProcess) -> None:
    """The process inherits none of the service's settings, which hold its credentials."""
    assert not [name for name in psutil.Process(warm.pid).environ() if name.startswith("DARKROOM_")]


async def test_prompt_is_never_logged(own: RenderProcess) -> None:
    """A prompt too long for the text encoder is cut without a word of it in the log."""
    with structlog.testing.capture_logs() as logged:
        await own.render(job_input(prompt="secret " * 400, scheduler="unheard-of"), unwatched)
        await own.render(job_input(prompt="secret " * 400), unwatched)
        await own.stop()
    assert "secret" not in str(logged)


async def test_killed_while_rendering(own: RenderProcess) -> None:
    """A process killed while rendering is a loss that tells signal and last step, and a restart renders the same."""
    before = await picture(own)
    pid = own.pid
    with pytest.raises(RenderProcessLostError) as loss:
        await own.render(LONG, at_step(7, lambda: os.kill(own.pid or 0, signal.SIGKILL)))
    assert loss.value.loss.reason == "SIGKILL"
    assert loss.value.last_step is not None
    assert loss.value.last_step.step >= 7
    assert own.ready is None
    with pytest.raises(RenderProcessLostError):
        await own.render(job_input(), unwatched)
    await own.restart()
    assert own.pid != pid
    assert await picture(own) == before


async def test_crash_leaves_its_last_words(own: RenderProcess) -> None:
    """A crash in native code, with a traceback on standard error, arrives as the signal and the last log lines."""
    with pytest.raises(RenderProcessLostError) as loss:
        await own.render(LONG, at_step(2, lambda: os.kill(own.pid or 0, signal.SIGSEGV)))
    assert loss.value.loss.reason == "SIGSEGV"
    assert any("Segmentation fault" in line for line in loss.value.last_lines)


@costs_a_process
async def test_hang_is_ended(own: RenderProcess) -> None:
    """A process that shows no sign of life within its limit is killed and counted as hung."""
    with pytest.raises(RenderProcessLostError, match="hung for 1 s") as loss:
        await own.render(LONG, at_step(3, lambda: os.kill(own.pid or 0, signal.SIGSTOP)))
    assert loss.value.last_step is not None
    assert own.pid is None


@costs_a_process
async def test_hang_between_two_pictures_is_ended(own: RenderProcess) -> None:
    """Pictures come one by one, and a process that falls silent after the first of them is killed as well."""
    indices: list[int] = []

    def stop_at_the_first(picture: protocol.Picture) -> None:
        indices.append(picture.index)
        os.kill(own.pid or 0, signal.SIGSTOP)

    several = job_input(num_inference_steps=1, num_images=8, width=256, height=256)
    with pytest.raises(RenderProcessLostError, match="hung for 1 s"):
        await own.render(several, unwatched, on_picture=stop_at_the_first)
    assert 0 < len(indices) < 8
    assert own.pid is None


@costs_a_process
async def test_death_while_idle_is_told(own: RenderProcess) -> None:
    """A process that dies between two jobs is noticed at once."""
    waiting = asyncio.create_task(own.wait_lost())
    os.kill(own.pid or 0, signal.SIGKILL)
    async with asyncio.timeout(5):
        assert (await waiting).loss.reason == "SIGKILL"
    assert own.ready is None


@costs_a_process
async def test_canceled_render_kills(own: RenderProcess) -> None:
    """A canceled call does not leave a render running that nobody listens to."""
    begun = asyncio.Event()
    rendering = asyncio.create_task(own.render(LONG, at_step(1, begun.set)))
    await begun.wait()
    rendering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rendering
    assert own.pid is None


@costs_a_process
async def test_stop_ends_a_render(own: RenderProcess) -> None:
    """Stopping ends the process at once, even while it renders, and may be repeated."""
    begun = asyncio.Event()
    rendering = asyncio.create_task(own.render(LONG, at_step(1, begun.set)))
    await begun.wait()
    pid = own.pid
    await own.stop()
    await own.stop()
    with pytest.raises(RenderProcessLostError):
        await rendering
    assert pid is not None
    assert not psutil.pid_exists(pid)


@costs_a_process
async def test_dies_with_the_service(program: str, tiny_model: Path) -> None:
    """When the service is killed, its render process does not outlive it."""
    script = f"""
        import asyncio
        from gpu_consumer.renderer.process import RenderProcess
        from tests.support.models import load_of
        from tests.support.renderers import rendered_by

        async def main():
            process = RenderProcess(load_of({str(tiny_model)!r}))
            with rendered_by({program!r}):
                await process.start()
            print("pid=", process.pid, sep="", flush=True)
            await asyncio.Event().wait()

        asyncio.run(main())
    """
    service = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(script)), stdout=subprocess.PIPE
    )
    assert service.stdout is not None
    await service.stdout.readuntil(b"pid=")
    pid = int(await service.stdout.readline())
    service.kill()
    await service.wait()
    await eventually(lambda: not psutil.pid_exists(pid), what="the render process to die")


@costs_a_process
async def test_a_process_that_survives_sigkill_is_not_waited_for(
    own: RenderProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is stuck in its driver: its render is lost in bounded time, and no other process is started beside it.

    The kernel's refusal to end it is stood in for by a SIGKILL that is not sent.
    """
    monkeypatch.setattr(child_process, "KILL_SECONDS", 0.5)
    monkeypatch.setattr(os, "killpg", lambda pid, number: None)
    begun, pid = asyncio.Event(), own.pid
    assert pid is not None
    rendering = asyncio.create_task(own.render(LONG, at_step(1, begun.set)))
    await begun.wait()
    os.kill(pid, signal.SIGSTOP)
    lost = asyncio.create_task(own.wait_lost())
    try:
        async with asyncio.timeout(10):
            with pytest.raises(RenderProcessLostError, match="hung"):
                await rendering
            assert (await lost).loss.kind == "hung"
            assert own.ready is None
            with pytest.raises(RenderProcessStuckError, match=f"pid {pid}, survived SIGKILL") as stuck:
                await own.restart()
            assert stuck.value.exit_code == ExitCode.RENDER_PROCESS
            await own.stop()
        assert psutil.pid_exists(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: not psutil.pid_exists(pid), what="the process to end while this loop runs")


async def test_a_device_that_is_not_there(program: str, tiny_model: Path) -> None:
    """Without the GPU that it was given the service says so with an exit code of its own, and leaves no process."""
    process = RenderProcess(load(tiny_model, "cuda"))
    with pytest.raises(DeviceMissingError) as refusal:
        await process.start()
    assert refusal.value.exit_code == ExitCode.DEVICE
    assert process.pid is None


async def test_start_has_an_end(program: str, tiny_model: Path) -> None:
    """A process that does not get ready in time is killed, and the start fails."""
    process = RenderProcess(load(tiny_model), Limits(start=0.05))
    with pytest.raises(RenderProcessFailedError, match=r"not ready within 0\.05 s"):
        await process.start()
    assert process.pid is None
