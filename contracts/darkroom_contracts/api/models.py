"""The models of the catalogue as clients see them."""

from typing import Annotated

import msgspec
from msgspec import Meta


class WholeNumberRange(msgspec.Struct, frozen=True):
    """An inclusive range of whole numbers, with the value that replaces an absent one."""

    minimum: Annotated[int, Meta(description="Inclusive.")]
    maximum: Annotated[int, Meta(description="Inclusive.")]
    default: Annotated[int, Meta(description="Replaces an absent value.")]


class NumberRange(msgspec.Struct, frozen=True):
    """An inclusive range, with the value that replaces an absent one."""

    minimum: Annotated[float, Meta(description="Inclusive.")]
    maximum: Annotated[float, Meta(description="Inclusive.")]
    default: Annotated[float, Meta(description="Replaces an absent value.")]


class AllowedSize(msgspec.Struct, frozen=True):
    """Width and height in pixels."""

    width: Annotated[int, Meta(description="Pixels.")]
    height: Annotated[int, Meta(description="Pixels.")]


class ModelView(msgspec.Struct, frozen=True, kw_only=True):
    """A model of the catalogue. Ranges have the names of the input's fields."""

    name: Annotated[str, Meta(description="Name that jobs use.")]
    description: Annotated[str, Meta(description="From the catalogue.")]
    default: Annotated[bool, Meta(description="Whether it renders jobs that name no model.")]
    schedulers: Annotated[tuple[str, ...], Meta(description="The default first.")]
    width: Annotated[WholeNumberRange, Meta(description="Pixels, in multiples of `size_multiple`.")]
    height: Annotated[WholeNumberRange, Meta(description="Pixels, in multiples of `size_multiple`.")]
    size_multiple: Annotated[int, Meta(description="Width and height are multiples of it.")]
    num_inference_steps: Annotated[WholeNumberRange, Meta(description="Denoising steps.")]
    guidance_scale: Annotated[NumberRange, Meta(description="How closely pictures follow the prompt.")]
    max_images: Annotated[int, Meta(description="Most pictures of a job.")]
    max_cost: Annotated[int, Meta(description="Bound on width x height x steps x images.")]
    pipeline: Annotated[
        str, Meta(description="Class of diffusers: StableDiffusionPipeline or StableDiffusionXLPipeline.")
    ]
    sizes: Annotated[
        list[AllowedSize],
        Meta(description="The only allowed sizes; empty where `width` and `height` alone decide."),
    ]
    safety_checker: Annotated[
        bool, Meta(description="Whether the model's safety checker may fail a job because of its pictures.")
    ]


class ModelList(msgspec.Struct, frozen=True):
    """The models that jobs can name."""

    models: Annotated[list[ModelView], Meta(description="The default first.")]
