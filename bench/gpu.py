"""`make bench-gpu`: Stable Diffusion 1.5 at its full size with random weights, on this machine's GPU.

Records load, warm-up, memory and steps per second, plain and with each option, and for each the pace over a backlog.
"""

import asyncio
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import msgspec

from bench.backlog import JOBS, Pace, work_off
from bench.measures import Submitter, request
from bench.report import pace_table, write_gpu
from bench.stack import Target, private_stack
from bench.workers import Worker, worker

MODEL = "sd15-random"
STEPS = 20
GIBIBYTE = 2**30
CATALOGUE = f"""
[[models]]
name = "{MODEL}"
path = "{MODEL}"
schedulers = ["dpmpp_2m_karras"]
width = {{ minimum = 512, maximum = 512, default = 512 }}
height = {{ minimum = 512, maximum = 512, default = 512 }}
steps = {{ minimum = 1, maximum = 50, default = {STEPS} }}
guidance_scale = {{ minimum = 0, maximum = 20, default = 7.5 }}
max_images = 1
max_cost = 20_000_000
"""
VARIANTS: Mapping[str, Mapping[str, str]] = {
    "plain": {},
    "plain, one job after the other": {"DARKROOM_OVERLAP": "false"},
    "channels_last": {"DARKROOM_CHANNELS_LAST": "true"},
    "compiled": {"DARKROOM_COMPILE": "true"},
    "channels_last, compiled": {"DARKROOM_CHANNELS_LAST": "true", "DARKROOM_COMPILE": "true"},
}


class Figures(msgspec.Struct, frozen=True):
    """What a worker tells of itself after a backlog, by its metrics."""

    load_seconds: float
    warmup_seconds: float
    steps_per_second: float
    """Of the latest render."""
    baseline_gib: float
    peak_gib: float

    @classmethod
    def of(cls, told: Mapping[str, float]) -> "Figures":
        return cls(
            load_seconds=told["darkroom_model_load_seconds"],
            warmup_seconds=told["darkroom_model_warmup_seconds"],
            steps_per_second=told["darkroom_steps_per_second"],
            baseline_gib=told["darkroom_render_memory_baseline_bytes"] / GIBIBYTE,
            peak_gib=told["darkroom_render_memory_peak_bytes"] / GIBIBYTE,
        )

    def row(self, name: str) -> str:
        cells = (self.load_seconds, self.warmup_seconds, self.steps_per_second, self.baseline_gib, self.peak_gib)
        return f"| {name} | {' | '.join(f'{cell:.2f}' for cell in cells)} |"


async def main() -> None:
    device = gpu_name()
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
        catalogue = Path(folder) / "models.toml"
        catalogue.write_text(CATALOGUE)
        os.environ |= {"DARKROOM_MODELS_FILE": str(catalogue), "DARKROOM_DEVICE": "cuda"}
        with private_stack(MODEL, write_model) as target, target.without_worker():
            paces, figures = await measure(target)
    lines = [f"512x512, {STEPS} steps of dpmpp_2m_karras, float16.", "", *pace_table(paces), "", *figure_table(figures)]
    print(write_gpu(device, lines).read_text())


def gpu_name() -> str:
    """Raises SystemExit where there is none."""
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("This benchmark needs a CUDA device, and torch finds none.")
    return str(torch.cuda.get_device_name())


def write_model(models_home: Path) -> None:
    from tests.support.full_size import write_sd15

    write_sd15(models_home / MODEL, "cuda")


async def measure(target: Target) -> tuple[dict[str, list[Pace]], dict[str, Figures]]:
    submitter = Submitter(target.gateway, target.key, request(MODEL, STEPS))
    database = await asyncpg.connect(target.database)
    paces: dict[str, list[Pace]] = {}
    figures: dict[str, Figures] = {}
    for name, settings in VARIANTS.items():
        print(f"{name} ...")
        jobs = [submitter.submit() for _ in range(JOBS)]
        with worker(target, {"DARKROOM_RENDER_START_SECONDS": "900", **settings}) as warm:
            paces[name] = [await work_off(database, jobs)]
            figures[name] = await told_by(warm)
    await database.close()
    return paces, figures


async def told_by(warm: Worker) -> Figures:
    return Figures.of(await asyncio.to_thread(warm.figures))


def figure_table(figures: Mapping[str, Figures]) -> list[str]:
    return [
        "| | load s | warm-up s | steps/s | held GiB | peak GiB |",
        "|---|---:|---:|---:|---:|---:|",
        *(each.row(name) for name, each in figures.items()),
    ]


if __name__ == "__main__":
    asyncio.run(main())
