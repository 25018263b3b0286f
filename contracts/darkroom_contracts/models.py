"""The model catalogue (`deploy/models.toml`) and the bounds that it sets for jobs.

The gateway checks requests against it without torch; the consumer loads the models that it describes.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta

from darkroom_contracts.api import JobInput, JobInputRequest

T = TypeVar("T")
Scheduler = Literal["ddim", "euler", "euler_a", "dpmpp_2m", "dpmpp_2m_karras", "unipc", "lcm", "pndm", "heun"]
PipelineClass = Literal["StableDiffusionPipeline", "StableDiffusionXLPipeline"]
"""Supported classes of diffusers: Stable Diffusion 1.x and 2.x, and SDXL."""
Dtype = Literal["float16", "bfloat16", "float32"]
PictureSize = Annotated[str, Meta(pattern=r"^[1-9][0-9]{1,3}x[1-9][0-9]{1,3}\Z")]
"""Width x height in pixels."""
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class CatalogueError(ValueError):
    """The model catalogue cannot be used; the message says what to change."""


class UnknownModelError(ValueError):
    """The catalogue has no such model."""


class OutOfBoundsError(ValueError):
    """A field of the input, named by `field`, is outside the model's bounds."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An inclusive range with the value that replaces an absent one."""

    minimum: float
    maximum: float
    default: float

    def __post_init__(self) -> None:
        if not self.minimum <= self.default <= self.maximum:
            raise ValueError("a range needs minimum <= default <= maximum")


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One text-to-image model and its bounds."""

    name: Name
    path: str
    """Folder in the layout of diffusers; relative paths start from DARKROOM_MODELS_HOME."""
    schedulers: Annotated[tuple[Scheduler, ...], Meta(min_length=1)]
    """Allowed schedulers, the default first."""
    width: Range
    """Pixels."""
    height: Range
    """Pixels."""
    steps: Range
    guidance_scale: Range
    max_images: Annotated[int, Meta(ge=1, le=16)]
    max_cost: Annotated[int, Meta(ge=1)]
    """Bound on width x height x steps x images, in pixel steps."""
    size_multiple: Annotated[int, Meta(ge=8, le=64)] = 8
    """Width and height are multiples of it, in pixels."""
    description: str = ""
    pipeline: PipelineClass = "StableDiffusionPipeline"
    """Class of the pipeline in the folder."""
    hub: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*\Z")] | None = None
    """Source of `darkroom models pull`: owner/name on the Hugging Face hub."""
    revision: Annotated[str, Meta(pattern=r"^[0-9a-f]{40}\Z")] | None = None
    """Commit on the hub. Required with `hub`, so that every pull gets the same files."""
    manifest_sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")] | None = None
    """SHA-256 of the folder's SHA256SUMS; without it any manifest that matches the files is accepted."""
    dtype: Dtype | None = None
    """Type of weights and computation; by default float16 on a GPU and float32 on the CPU."""
    sizes: tuple[PictureSize, ...] = ()
    """The only allowed sizes, as "512x768"; if empty, all within `width` and `height`. Each is warmed up."""
    safety_checker: bool = False
    """Run the model's safety checker, which may fail a job because of its pictures. Stable Diffusion 1.x only."""

    def __post_init__(self) -> None:
        for mistake in (self._mistaken_source(), self._mistaken_checker(), self._mistaken_sizes()):
            if mistake:
                raise ValueError(f"the model {self.name} {mistake}")

    @property
    def picture_sizes(self) -> tuple[tuple[int, int], ...]:
        """`sizes` as pairs of width and height in pixels."""
        return tuple((int(width), int(height)) for width, _, height in (size.partition("x") for size in self.sizes))

    @property
    def warmup_sizes(self) -> tuple[tuple[int, int], ...]:
        """Sizes that a worker renders once before its first job, as (width, height) in pixels.

        They are `sizes`, or the default size of a model without `sizes`, whose ranges allow too many to render each.
        """
        return self.picture_sizes or ((int(self.width.default), int(self.height.default)),)

    def dtype_on(self, device: Literal["cuda", "cpu"]) -> Dtype:
        """Return the type to compute in: `dtype`, or half precision on a GPU and single on a CPU."""
        return self.dtype or ("float16" if device == "cuda" else "float32")

    def resolve(self, request: JobInputRequest, seed: int) -> JobInput:
        """Return the input with the model's defaults, and with `seed` if the request has none.

        Raises OutOfBoundsError for the first field that is outside the model's bounds.
        """
        resolved = JobInput(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            num_inference_steps=_or(request.num_inference_steps, int(self.steps.default)),
            guidance_scale=_or(request.guidance_scale, self.guidance_scale.default),
            scheduler=_or(request.scheduler, self.schedulers[0]),
            width=_or(request.width, int(self.width.default)),
            height=_or(request.height, int(self.height.default)),
            seed=_or(request.seed, seed),
            num_images=request.num_images,
            output_format=request.output_format,
            preview_every=request.preview_every,
        )
        self.check(resolved)
        return resolved

    def check(self, wanted: JobInput) -> None:
        """Raise OutOfBoundsError for the first field that is outside the model's bounds."""
        if wanted.scheduler not in self.schedulers:
            raise OutOfBoundsError("scheduler", f"must be one of {', '.join(self.schedulers)} for {self.name}")
        _within("num_inference_steps", wanted.num_inference_steps, self.steps)
        _within("guidance_scale", wanted.guidance_scale, self.guidance_scale)
        for field, value, bounds in (
            ("width", wanted.width, self.width),
            ("height", wanted.height, self.height),
        ):
            _within(field, value, bounds)
            if value % self.size_multiple:
                raise OutOfBoundsError(field, f"must be a multiple of {self.size_multiple}")
        self._check_size(wanted.width, wanted.height)
        if wanted.num_images > self.max_images:
            raise OutOfBoundsError("num_images", f"must be at most {self.max_images} for {self.name}")
        if wanted.cost > self.max_cost:
            raise OutOfBoundsError(
                "num_inference_steps",
                f"costs too much together: width x height x steps x images is {wanted.cost}, at most {self.max_cost}",
            )

    def _check_size(self, width: int, height: int) -> None:
        if not self.sizes or (width, height) in self.picture_sizes:
            return
        widths = {allowed for allowed, _ in self.picture_sizes}
        field, other = ("height", f"width {width}") if width in widths else ("width", f"height {height}")
        raise OutOfBoundsError(
            field, f"cannot be combined with {other}: {self.name} renders {', '.join(self.sizes)} (width x height)"
        )

    def _mistaken_source(self) -> str | None:
        if (self.hub is None) != (self.revision is None):
            return "needs hub and revision together, so that every pull gets the same files"
        return None

    def _mistaken_checker(self) -> str | None:
        if self.safety_checker and self.pipeline != "StableDiffusionPipeline":
            return f"can't have a safety checker: a {self.pipeline} does not support one"
        return None

    def _mistaken_sizes(self) -> str | None:
        if len(set(self.sizes)) != len(self.sizes):
            return "lists a size twice"
        for size, (width, height) in zip(self.sizes, self.picture_sizes, strict=True):
            if not (_inside(width, self.width) and _inside(height, self.height)):
                return f"lists the size {size}, which is outside its width or height"
            if width % self.size_multiple or height % self.size_multiple:
                return f"lists the size {size}, which is not a multiple of {self.size_multiple}"
            if width * height * self.steps.minimum > self.max_cost:
                return f"lists the size {size}, which costs more than {self.max_cost} even with the fewest steps"
        default = (int(self.width.default), int(self.height.default))
        if self.sizes and default not in self.picture_sizes:
            return f"has the default size {default[0]}x{default[1]}, which is not one of its sizes"
        return None


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All models, the default first."""

    models: Annotated[tuple[Model, ...], Meta(min_length=1)]

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.models):
            raise ValueError("two models have the same name")
        for model in self.models:
            model.resolve(JobInputRequest(prompt="-"), seed=0)  # the defaults must be within the bounds

    @property
    def names(self) -> list[str]:
        """Names of all models, the default first."""
        return [model.name for model in self.models]

    def find(self, name: str | None) -> Model:
        """Return the model with this name, or the default model for None. Raises UnknownModelError."""
        if name is None:
            return self.models[0]
        for model in self.models:
            if model.name == name:
                return model
        raise UnknownModelError(f"must be one of {', '.join(self.names)}")


def load_catalogue(path: Path) -> Catalogue:
    """Read a catalogue from TOML (`[[models]]` tables). Raises CatalogueError with the reason."""
    try:
        entries = msgspec.toml.decode(path.read_bytes())
        _refuse_other_pipelines(entries)
        return msgspec.convert(entries, Catalogue)
    except OSError as error:
        raise CatalogueError(f"The model catalogue {path} can't be read: {error.strerror}.") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise CatalogueError(f"The model catalogue {path} is wrong: {error}.") from error


def _refuse_other_pipelines(entries: Any) -> None:
    """Raise a ValueError with the model's name and the supported classes, which the decoder would not name."""
    models = entries.get("models") if isinstance(entries, dict) else None
    for model in models if isinstance(models, list) else []:
        pipeline = model.get("pipeline") if isinstance(model, dict) else None
        if isinstance(pipeline, str) and pipeline not in get_args(PipelineClass):
            name, served = model.get("name"), " and ".join(get_args(PipelineClass))
            raise ValueError(f"the model {name} is a {pipeline}, and only {served} are supported")


def _or(value: T | None, default: T) -> T:
    return default if value is None else value


def _within(field: str, value: float, bounds: Range) -> None:
    if not _inside(value, bounds):
        raise OutOfBoundsError(field, f"must lie between {bounds.minimum:g} and {bounds.maximum:g}")


def _inside(value: float, bounds: Range) -> bool:
    return bounds.minimum <= value <= bounds.maximum
