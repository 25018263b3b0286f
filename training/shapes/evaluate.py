"""The evaluation: render held-out captions and compare the scorer's readings with them."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from gpu_consumer.render import schedulers
from training.shapes.scenes import Scene, split
from training.shapes.scorer import Pixels, Reading, read

STEPS = 20
BATCH = 20
SHEET_COLUMNS = 10


class Result(msgspec.Struct, frozen=True):
    """Shares, between 0 and 1, of prompts whose picture is correct in each property, and in `all` of them."""

    prompts: int
    steps: int
    scheduler: str
    guidance_scale: float
    all: float
    background: float
    colour: float
    count: float
    shape: float


def evaluate(folder: Path, prompts: int, guidance: float, scheduler: str) -> tuple[Result, list[Pixels], list[str]]:
    """Evaluate the first `prompts` held-out captions; return the result, the pictures, and a line per mistake.

    Caption i is rendered once, from seed i, without selection.
    """
    scenes = split()[1][:prompts]
    pictures = list(_render(folder, scenes, guidance, scheduler))
    readings = [read(picture) for picture in pictures]
    pairs = list(zip(scenes, readings, strict=True))
    result = Result(
        prompts=len(scenes),
        steps=STEPS,
        scheduler=scheduler,
        guidance_scale=guidance,
        all=_share([_is_correct(scene, reading) for scene, reading in pairs]),
        background=_share([scene.background == reading.background for scene, reading in pairs]),
        colour=_share([scene.colour == reading.colour for scene, reading in pairs]),
        count=_share([scene.count == reading.count for scene, reading in pairs]),
        shape=_share([scene.shape == reading.shape for scene, reading in pairs]),
    )
    return result, pictures, [_mistake(scene, reading) for scene, reading in pairs if not _is_correct(scene, reading)]


def contact_sheet(pictures: list[Pixels]) -> Image.Image:
    """Arrange the pictures in rows of ten."""
    rows = [pictures[first : first + SHEET_COLUMNS] for first in range(0, len(pictures), SHEET_COLUMNS)]
    whole = [np.concatenate(row, axis=1) for row in rows if len(row) == SHEET_COLUMNS]
    return Image.fromarray(np.concatenate(whole))


def _render(folder: Path, scenes: list[Scene], guidance: float, scheduler: str) -> Iterator[Pixels]:
    pipeline = StableDiffusionPipeline.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, safety_checker=None
    )
    pipeline.set_progress_bar_config(disable=True)
    config = dict(pipeline.scheduler.config)
    for first in range(0, len(scenes), BATCH):
        chunk = scenes[first : first + BATCH]
        pipeline.scheduler = schedulers.build_scheduler(scheduler, config, STEPS)
        drawn = pipeline(
            [scene.caption for scene in chunk],
            num_inference_steps=STEPS,
            guidance_scale=guidance,
            generator=[torch.Generator("cpu").manual_seed(first + index) for index in range(len(chunk))],
            output_type="np",
        ).images
        yield from (255 * drawn).round().astype(np.uint8)


def _is_correct(scene: Scene, reading: Reading) -> bool:
    return msgspec.structs.asdict(scene) == msgspec.structs.asdict(reading)


def _share(correct: list[bool]) -> float:
    return sum(correct) / len(correct)


def _mistake(scene: Scene, reading: Reading) -> str:
    return f"{scene.caption}: read as {reading.count} {reading.colour} {reading.shape} on {reading.background}"
