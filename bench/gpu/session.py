"""One run: every variant of every model in turn, within a time limit."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from bench.backlog import Pace
from bench.gpu import backlog
from bench.gpu.children import ChildError, output_of
from bench.gpu.measure import RenderError, measure
from bench.gpu.process_log import ProcessLog
from bench.gpu.results import Measured, NotMeasured, Result, defects
from bench.gpu.subjects import FULL, TINY, VARIANTS, Subject, Variant, in_order
from bench.progress import Progress
from gpu_consumer.protocol import Device
from gpu_consumer.renderer.process import RenderProcessLostError
from gpu_consumer.startup import StartupError

OUT_OF_TIME = NotMeasured("the time limit was reached", failed=True)
NO_CUDA = NotMeasured("it needs CUDA", failed=False)
WHOLE = "a whole worker on a backlog"
Paces = dict[str, Pace]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The models to measure and the time limit."""

    device: Device
    tiny: bool
    seconds: float
    """Time limit of the whole run."""

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """The models to measure."""
        return TINY if self.tiny else FULL


class Session:
    """A run and its results so far. `changed` is called after each result."""

    def __init__(self, plan: Plan, progress: Progress, changed: Callable[[], None]) -> None:
        self.plan = plan
        self.results: dict[Subject, dict[str, Result]] = {
            subject: {variant.name: OUT_OF_TIME for variant in VARIANTS} for subject in plan.subjects
        }
        self.paces: Paces | NotMeasured = OUT_OF_TIME
        self._progress = progress
        self._changed = changed
        self._log = ProcessLog()
        self._written: dict[Subject, Path | NotMeasured] = {}
        self._deadline = time.monotonic() + plan.seconds

    @property
    def device(self) -> str | None:
        """Name of the device, or None before the first result."""
        return next((one.device for one in self._measured()), None)

    @property
    def versions(self) -> dict[str, str]:
        """Versions by library, empty before the first result."""
        return next((one.versions for one in self._measured()), {})

    @property
    def defects(self) -> list[str]:
        """One line for each defect of the run."""
        found = [f"{subject.title}, {line}" for subject, each in self.results.items() for line in defects(each)]
        if isinstance(self.paces, NotMeasured) and self.paces.failed:
            found.append(f"{WHOLE}: not measured: {self.paces.reason}")
        return found

    async def run(self) -> None:
        """Measure everything. The stack comes before the compiled variants, which take longest."""
        self._log.listen()
        with tempfile.TemporaryDirectory(prefix="darkroom-bench-gpu-") as home:
            pairs = in_order(self.plan.subjects)
            for subject, variant in (pair for pair in pairs if not pair[1].compile):
                await self._measure(subject, variant, Path(home))
            self.paces = await self._measure_stack()
            self._changed()
            for subject, variant in (pair for pair in pairs if pair[1].compile):
                await self._measure(subject, variant, Path(home))

    async def _measure(self, subject: Subject, variant: Variant, home: Path) -> None:
        self._progress(f"{subject.title}: {variant.name}")
        self._log.begin()
        result = self.results[subject][variant.name] = await self._result(subject, variant, home)
        if (isinstance(result, NotMeasured) and result.failed) or (
            isinstance(result, Measured) and result.failed_captures
        ):
            for line in self._log.lines:
                self._progress(f"    {line}")
        self._changed()

    async def _result(self, subject: Subject, variant: Variant, home: Path) -> Result:
        if variant.needs_cuda and self.plan.device == "cpu":
            return NO_CUDA
        try:
            async with asyncio.timeout(self._seconds_left()):
                folder = await self._folder(subject, home)
                if isinstance(folder, NotMeasured):
                    return folder
                return await measure(subject, variant, str(folder), self.plan.device)
        except TimeoutError:
            return OUT_OF_TIME
        except (StartupError, RenderError, RenderProcessLostError) as error:
            return NotMeasured(str(error).rstrip("."), failed=True)

    async def _folder(self, subject: Subject, home: Path) -> Path | NotMeasured:
        """Return the model's folder, which is written at its first use."""
        if subject not in self._written:
            folder = home / subject.name
            try:
                await output_of("bench.gpu.models", subject.name, str(folder), self.plan.device)
                self._written[subject] = folder
            except ChildError as error:
                self._log.add(error.lines)
                self._written[subject] = NotMeasured(str(error).rstrip("."), failed=True)
        return self._written[subject]

    async def _measure_stack(self) -> Paces | NotMeasured:
        if self.plan.tiny:
            return NotMeasured("the models are tiny", failed=False)
        missing = backlog.missing_part()
        if missing is not None:
            return NotMeasured(f"it needs the whole stack, and {missing} is not installed here", failed=False)
        folder = self._written.get(self.plan.subjects[0])
        if not isinstance(folder, Path):
            return NotMeasured("its model could not be written", failed=True)
        self._progress(WHOLE)
        try:
            async with asyncio.timeout(self._seconds_left()):
                printed = await output_of("bench.gpu.backlog", str(folder), self.plan.device)
        except TimeoutError:
            return OUT_OF_TIME
        except ChildError as error:
            return NotMeasured(str(error).rstrip("."), failed=True)
        return msgspec.json.decode(printed.splitlines()[-1], type=Paces)

    def _measured(self) -> Iterator[Measured]:
        return (one for each in self.results.values() for one in each.values() if isinstance(one, Measured))

    def _seconds_left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())
