"""Options of replays: edits of the jobs, and how fast dead letters are replayed."""

import re
from functools import wraps
from typing import Any, NamedTuple

import click

from darkroom.console import CommandError
from darkroom.desk_commands.options import Command, with_options
from darkroom.parameters import finite
from darkroom_contracts.api.replays import DEFAULT_STAGES, MAX_PACE, InputEdit, Ramp, ReplayEdit

EDITS = {
    "steps": "num_inference_steps",
    "guidance_scale": "guidance_scale",
    "scheduler": "scheduler",
    "width": "width",
    "height": "height",
    "seed": "seed",
    "images": "num_images",
}
"""Options, and the fields of an InputEdit that they are."""
_LONGEST_STAGE = 7 * 24 * 3600
_MOST_STAGES = 50
_LARGEST_STAGE = 10_000
_STAGES = re.compile("[1-9][0-9]{0,9}(,[1-9][0-9]{0,9}){0,999}")


class Speed(NamedTuple):
    """How fast dead letters are replayed: at a pace, in the stages of a ramp, or as fast as possible."""

    pace: float | None = None
    ramp: Ramp | None = None


class Stages(click.ParamType[tuple[int, ...]]):
    """Sizes of a ramp's stages, separated by commas."""

    name = "stages"

    def convert(
        self, value: str | tuple[int, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        if not _STAGES.fullmatch(value):
            self.fail(f"{value!r} is not a list of numbers such as {_listed(DEFAULT_STAGES)}.", param, ctx)
        stages = tuple(map(int, value.split(",")))
        if len(stages) > _MOST_STAGES or max(stages) > _LARGEST_STAGE:
            self.fail(f"Give at most {_MOST_STAGES} stages, each of at most {_LARGEST_STAGE:,}.", param, ctx)
        return stages


def edit_options(command: Command) -> Command:
    """Give a command the options of an edit; it is called with `edit: ReplayEdit | None`."""

    @wraps(command)
    def wrapped(*, to_model: str | None, **options: Any) -> Any:
        changes = {field: options.pop(option) for option, field in EDITS.items()}
        given = InputEdit(**changes)
        edit = ReplayEdit(model=to_model, input=None if given == InputEdit() else given)
        return command(edit=None if edit == ReplayEdit() else edit, **options)

    return with_options(
        wrapped,
        click.option("--to-model", metavar="NAME", help="Render with this model instead."),
        click.option("--steps", type=int, help="Render with this number of inference steps instead."),
        click.option("--width", type=int, help="Render with this width in pixels instead."),
        click.option("--height", type=int, help="Render with this height in pixels instead."),
        click.option("--guidance-scale", type=float, callback=finite, help="Render with this guidance instead."),
        click.option("--scheduler", metavar="NAME", help="Render with this scheduler instead."),
        click.option("--seed", type=int, help="Render with this seed instead."),
        click.option("--images", type=int, help="Render this number of pictures instead."),
    )


def speed_options(command: Command) -> Command:
    """Give a command `--pace`, `--ramp` and `--stage-seconds`; it is called with `speed: Speed`."""

    @wraps(command)
    def wrapped(
        *, pace: float | None, stages: tuple[int, ...] | None, stage_seconds: int | None, **options: Any
    ) -> Any:
        if pace is not None and stages:
            raise CommandError("--pace and --ramp exclude each other; give one of them.")
        if stage_seconds is not None and not stages:
            raise CommandError("--stage-seconds is the time limit of a ramp's stages; give --ramp too.")
        limit = {} if stage_seconds is None else {"stage_seconds": stage_seconds}
        return command(speed=Speed(pace, Ramp(stages=stages, **limit) if stages else None), **options)

    return with_options(
        wrapped,
        click.option(
            "--pace",
            type=click.FloatRange(0, MAX_PACE, min_open=True),
            callback=finite,
            metavar="N",
            help="Replay N dead letters a second. Default: as fast as possible.",
        ),
        click.option(
            "--ramp",
            "stages",
            type=Stages(),
            metavar="N,N,...",
            help=f"Replay in stages of growing size, such as {_listed(DEFAULT_STAGES)}; the last size is repeated. A"
            " stage begins when all of the one before have succeeded, and a failure pauses the replay.",
        ),
        click.option(
            "--stage-seconds",
            type=click.IntRange(1, _LONGEST_STAGE),
            metavar="N",
            help=f"With --ramp: a stage that takes longer pauses the replay. Default: {Ramp().stage_seconds}.",
        ),
    )


def _listed(stages: tuple[int, ...]) -> str:
    return ",".join(map(str, stages))
