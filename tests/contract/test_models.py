import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from darkroom_contracts.api import JobInputRequest
from darkroom_contracts.models import (
    Catalogue,
    CatalogueError,
    Model,
    OutOfBoundsError,
    UnknownModelError,
    load_catalogue,
)

SHIPPED = Path(__file__).parents[2] / "deploy" / "models.toml"


def _model(**more: Any) -> dict[str, Any]:
    return {
        "name": "small",
        "path": "small",
        "schedulers": ["ddim", "euler"],
        "width": {"minimum": 64, "maximum": 512, "default": 64},
        "height": {"minimum": 64, "maximum": 512, "default": 128},
        "steps": {"minimum": 1, "maximum": 50, "default": 20},
        "guidance_scale": {"minimum": 0, "maximum": 20, "default": 7.5},
        "max_images": 4,
        "max_cost": 64 * 128 * 20 * 4,
    } | more


SMALL = msgspec.convert(_model(), Model)


def _write(folder: Path, *models: dict[str, Any]) -> Path:
    path = folder / "models.toml"
    path.write_text(f"models = {_toml(models)}")
    return path


def _toml(value: Any) -> str:
    """Return inline TOML, which differs from JSON only in its tables."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def test_the_shipped_catalogue_is_right() -> None:
    """The catalogue in the repository loads, and its first model is the default."""
    catalogue = load_catalogue(SHIPPED)
    assert catalogue.find(None).name == "shapes"
    assert catalogue.find("shapes") is catalogue.find(None)


def test_the_examples_in_the_shipped_catalogue_are_right(tmp_path: Path) -> None:
    """The commented entries load once they are uncommented, and have a source to pull from."""
    lines = SHIPPED.read_text().splitlines()
    (tmp_path / "models.toml").write_text("\n".join(re.sub(r"^# (?=\[\[|\w+ = )", "", line) for line in lines))
    catalogue = load_catalogue(tmp_path / "models.toml")
    assert {"sd15", "sdxl"} <= set(catalogue.names)
    assert all(catalogue.find(name).revision for name in ("sd15", "sdxl"))


def test_silence_takes_the_model_s_defaults() -> None:
    """A prompt alone gets the model's size, steps, guidance and first scheduler, and the given seed."""
    resolved = SMALL.resolve(JobInputRequest("x"), seed=7)
    assert (resolved.width, resolved.height, resolved.num_inference_steps) == (64, 128, 20)
    assert (resolved.guidance_scale, resolved.scheduler, resolved.seed) == (7.5, "ddim", 7)


def test_what_is_asked_for_is_kept() -> None:
    """Zero does not count as absent."""
    resolved = SMALL.resolve(JobInputRequest("x", seed=0, guidance_scale=0.0, scheduler="euler"), seed=7)
    assert (resolved.seed, resolved.guidance_scale, resolved.scheduler) == (0, 0.0, "euler")


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"scheduler": "heun"}, "scheduler"),
        ({"num_inference_steps": 51}, "num_inference_steps"),
        ({"guidance_scale": 20.5}, "guidance_scale"),
        ({"width": 520}, "width"),
        ({"width": 56}, "width"),
        ({"height": 65}, "height"),
        ({"num_images": 5}, "num_images"),
        ({"num_images": 4, "num_inference_steps": 21}, "num_inference_steps"),
    ],
)
def test_more_than_the_model_allows_is_refused_by_field(wanted: dict[str, Any], field: str) -> None:
    """Every bound of the model, the cost included, is reported with the field that exceeds it."""
    with pytest.raises(OutOfBoundsError) as refused:
        SMALL.resolve(JobInputRequest("x", **wanted), seed=0)
    assert refused.value.field == field


def test_the_bounds_themselves_are_inside() -> None:
    """A job may have exactly the largest cost."""
    assert SMALL.resolve(JobInputRequest("x", num_images=4), seed=0).cost == SMALL.max_cost


SIZED = msgspec.convert(_model(sizes=["64x128", "128x64"], pipeline="StableDiffusionXLPipeline"), Model)


@pytest.mark.parametrize(("wanted", "field"), [({"width": 128}, "height"), ({"width": 72}, "width")])
def test_listed_sizes_are_the_only_ones(wanted: dict[str, Any], field: str) -> None:
    """With listed sizes, any other size within the ranges is refused, and the error lists the allowed ones."""
    with pytest.raises(OutOfBoundsError, match="small renders 64x128, 128x64") as refused:
        SIZED.resolve(JobInputRequest("x", **wanted), seed=0)
    assert refused.value.field == field


def test_listed_sizes_are_taken() -> None:
    """Each listed size is accepted, and an absent size becomes the default."""
    assert SIZED.resolve(JobInputRequest("x", width=128, height=64), seed=0).width == 128
    assert SIZED.resolve(JobInputRequest("x"), seed=0).height == 128


def test_every_listed_size_is_warmed_up() -> None:
    """A worker warms up each listed size, or the default size of a model without a list."""
    assert SIZED.warmup_sizes == ((64, 128), (128, 64))
    assert SMALL.warmup_sizes == ((64, 128),)


@pytest.mark.parametrize(
    ("dtype", "device", "expected"),
    [
        (None, "cuda", "float16"),
        (None, "cpu", "float32"),
        ("bfloat16", "cuda", "bfloat16"),
        ("float16", "cpu", "float16"),
    ],
)
def test_precision_follows_the_device_unless_it_is_named(dtype: Any, device: Any, expected: str) -> None:
    """The default is half precision on GPUs only; a type in the catalogue applies to every device."""
    assert msgspec.structs.replace(SMALL, dtype=dtype).dtype_on(device) == expected


def test_an_unknown_model_lists_the_known() -> None:
    """The error for an unknown name lists the models of the catalogue."""
    catalogue = Catalogue((SMALL,))
    with pytest.raises(UnknownModelError, match="small"):
        catalogue.find("large")


@pytest.mark.parametrize(
    ("models", "complaint"),
    [
        ([], "length"),
        ([_model(), _model()], "two models have the same name"),
        ([_model(name="Not A Name")], "name"),
        ([_model(schedulers=[])], "schedulers"),
        ([_model(schedulers=["magic"])], "magic"),
        ([_model(surprise=1)], "surprise"),
        ([_model(width={"minimum": 64, "maximum": 32, "default": 64})], "minimum <= default <= maximum"),
        ([_model(max_cost=1)], "costs too much"),
        ([_model(width={"minimum": 1, "maximum": 99, "default": 63})], "multiple of 8"),
        ([_model(pipeline="FluxPipeline")], "the model small is a FluxPipeline, and only StableDiffusionPipeline and"),
        ([_model(pipeline=3)], r"models\[0\]\.pipeline"),
        ([_model(hub="acme/small")], "the model small needs hub and revision together"),
        ([_model(revision="0" * 40)], "the model small needs hub and revision together"),
        ([_model(hub="acme/small", revision="main")], "revision"),
        ([_model(hub="../small", revision="0" * 40)], "hub"),
        ([_model(manifest_sha256="0" * 63)], "manifest_sha256"),
        ([_model(dtype="int8")], "int8"),
        ([_model(safety_checker=True, pipeline="StableDiffusionXLPipeline")], "small can't have a safety checker"),
        ([_model(sizes=["64 x 64"])], "sizes"),
        ([_model(sizes=["64x128", "64x128"])], "lists a size twice"),
        ([_model(sizes=["64x128", "64x520"])], "the size 64x520, which is outside"),
        ([_model(sizes=["64x128", "64x100"])], "the size 64x100, which is not a multiple of 8"),
        ([_model(sizes=["128x64"])], "the default size 64x128, which is not one of its sizes"),
        ([_model(sizes=["64x128", "512x512"], max_cost=170_000)], "the size 512x512, which costs more than 170000"),
    ],
)
def test_a_wrong_catalogue_is_refused(tmp_path: Path, models: list[dict[str, Any]], complaint: str) -> None:
    """A catalogue that no job could use is refused at the start, with the reason."""
    with pytest.raises(CatalogueError, match=complaint):
        load_catalogue(_write(tmp_path, *models))


@pytest.mark.parametrize("text", ["[[models", "models = 3", "\xff"])
def test_a_broken_catalogue_is_refused(tmp_path: Path, text: str) -> None:
    """The error names the path of a file that is not a catalogue."""
    path = tmp_path / "models.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(CatalogueError, match=r"models\.toml is wrong"):
        load_catalogue(path)


def test_a_missing_catalogue_is_an_error(tmp_path: Path) -> None:
    """The error has the path and the reason."""
    with pytest.raises(CatalogueError, match="can't be read: No such file"):
        load_catalogue(tmp_path / "models.toml")
