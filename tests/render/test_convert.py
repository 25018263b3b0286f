"""The conversion of checkpoints made from the tiny models."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from darkroom_contracts.models import PipelineClass
from gpu_consumer.models import architectures, families, model_folder, skeletons
from gpu_consumer.models.checkpoint import read
from gpu_consumer.models.conversion import Conversion, Failed
from gpu_consumer.models.families import Family
from gpu_consumer.render import convert
from gpu_consumer.startup import ExitCode, StartupError, startup_error
from tests.support.rendering import open_pipeline, render
from tests.support.single_file import checkpoint_of, write_checkpoint

UNET = "model.diffusion_model."
XL: PipelineClass = "StableDiffusionXLPipeline"


def conversion_of(file: Path, model: Path, folder: Path, **changes: Any) -> Conversion:
    """Return a conversion of the file, with the model's own configuration, into a new folder."""
    found = read(file)
    family = families.recognise(found)
    architecture = architectures.from_folder(model, family)
    skeletons.write(architecture, skeletons.choose_tokenizers(architecture, model, None), folder)
    named: dict[str, Any] = {
        "checkpoint": str(file),
        "folder": str(folder),
        "pipeline": family.pipeline,
        "prefixes": families.prefixes(family, found),
        "dtype": "float32",
    }
    return Conversion(**(named | changes))


def converted(file: Path, model: Path, folder: Path, **changes: Any) -> Path:
    convert.convert(conversion_of(file, model, folder, **changes), lambda step: None)
    return folder


def spoilt(model: Path, file: Path, **tensors: torch.Tensor | None) -> Path:
    """Write the model's checkpoint with changed tensors; None removes one."""
    changed = checkpoint_of(model) | {UNET + name.replace("__", "."): tensor for name, tensor in tensors.items()}
    save_file({name: tensor.contiguous() for name, tensor in changed.items() if tensor is not None}, file)
    return file


def picture(folder: Path, pipeline: PipelineClass = "StableDiffusionPipeline") -> bytes:
    return render(open_pipeline(folder, pipeline=pipeline)).images[0].rgb


@pytest.mark.parametrize(
    ("fixture", "family"),
    [("tiny_model", Family.SD1), ("tiny_sd2_model", Family.SD2), ("tiny_sdxl_model", Family.SDXL)],
)
def test_pictures_are_the_same(request: pytest.FixtureRequest, tmp_path: Path, fixture: str, family: Family) -> None:
    """A converted model of each family renders the same bytes as the original."""
    model = request.getfixturevalue(fixture)
    file = write_checkpoint(model, tmp_path / "single.safetensors")
    assert families.recognise(read(file)) is family
    folder = converted(file, model, tmp_path / "model")
    assert picture(folder, family.pipeline) == picture(model, family.pipeline)


def test_velocity_is_what_renders(tiny_sd2_model: Path, tmp_path: Path) -> None:
    """The prediction type is preserved, and another one would give another picture."""
    file = write_checkpoint(tiny_sd2_model, tmp_path / "single.safetensors")
    folder = converted(file, tiny_sd2_model, tmp_path / "model")
    scheduler = folder / "scheduler/scheduler_config.json"
    assert json.loads(scheduler.read_text())["prediction_type"] == "v_prediction"
    before = picture(folder)
    scheduler.write_text(scheduler.read_text().replace("v_prediction", "epsilon"))
    (folder / model_folder.SUMS).unlink()
    assert picture(folder) != before


def test_every_weight_of_every_part(tiny_sdxl_model: Path, tmp_path: Path) -> None:
    """Each tensor is converted with its name and values, including those that a render never reads."""
    file = write_checkpoint(tiny_sdxl_model, tmp_path / "single.safetensors")
    folder = converted(file, tiny_sdxl_model, tmp_path / "model")
    for weights in tiny_sdxl_model.rglob("*.safetensors"):
        before, after = load_file(weights), load_file(folder / weights.relative_to(tiny_sdxl_model))
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_dtype(tiny_model: Path, tmp_path: Path, dtype: str) -> None:
    """The weights are written in the requested dtype, readable by other users, and none as a pickle."""
    file = write_checkpoint(tiny_model, tmp_path / "single.safetensors")
    folder = converted(file, tiny_model, tmp_path / "model", dtype=dtype)
    weights = list(folder.rglob("*.safetensors"))
    kinds = {tensor.dtype for file in weights for tensor in load_file(file).values()}
    assert kinds == {getattr(torch, dtype)}
    assert {file.stat().st_mode & 0o777 for file in weights} == {0o644}
    assert {file.suffix for file in folder.rglob("*") if file.is_file()} == {".json", ".safetensors", ""}


def test_older_names_of_the_text_encoder(tiny_model: Path, tmp_path: Path) -> None:
    """Checkpoints of 1.x without `text_model.` in the text encoder's names are converted too."""
    tensors = {name.replace(".text_model.", "."): tensor for name, tensor in checkpoint_of(tiny_model).items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "single.safetensors")
    folder = converted(tmp_path / "single.safetensors", tiny_model, tmp_path / "model")
    assert picture(folder) == picture(tiny_model)


def test_eight_bits(tiny_model: Path, tmp_path: Path) -> None:
    """Weights in eight-bit floats are converted."""
    tensors = {
        name: tensor.to(torch.float8_e4m3fn) if tensor.is_floating_point() else tensor
        for name, tensor in checkpoint_of(tiny_model).items()
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "single.safetensors")
    folder = converted(tmp_path / "single.safetensors", tiny_model, tmp_path / "model", dtype="float16")
    assert render(open_pipeline(folder)).images


def refusal(file: Path, model: Path, folder: Path, **changes: Any) -> StartupError:
    answer = convert.attempt(conversion_of(file, model, folder, **changes), lambda step: None)
    assert isinstance(answer, Failed)
    assert "\n" not in answer.message
    return startup_error(answer.code, answer.message)


def test_missing_tensor(tiny_model: Path, tmp_path: Path) -> None:
    """A checkpoint that lacks a tensor is refused by the part's and the tensor's name."""
    file = spoilt(tiny_model, tmp_path / "single.safetensors", middle_block__0__in_layers__0__weight=None)
    refused = refusal(file, tiny_model, tmp_path / "model")
    assert refused.exit_code == ExitCode.MODEL_INCOMPLETE
    assert "lacks 1 of the tensors of its unet, such as mid_block.resnets.0.norm1.weight" in refused.message
    assert "--config" in refused.message


def test_missing_condition_of_sdxl(tiny_sdxl_model: Path, tmp_path: Path) -> None:
    """A UNet of SDXL without the layers for size conditions is refused in the same way."""
    file = spoilt(tiny_sdxl_model, tmp_path / "single.safetensors", label_emb__0__0__weight=None)
    refused = refusal(file, tiny_sdxl_model, tmp_path / "model")
    assert refused.exit_code == ExitCode.MODEL_INCOMPLETE
    assert "of its unet, such as label_emb.0.0.weight" in refused.message


def test_configuration_that_leaves_out_defaults(tiny_model: Path, tmp_path: Path) -> None:
    """A configuration can leave out values that equal the class's defaults."""
    file = write_checkpoint(tiny_model, tmp_path / "single.safetensors")
    order = conversion_of(file, tiny_model, tmp_path / "model")
    config = tmp_path / "model/vae/config.json"
    numbers = json.loads(config.read_text())
    del numbers["layers_per_block"]  # 1, as the tiny model has it
    config.write_text(json.dumps(numbers))
    convert.convert(order, lambda step: None)
    assert picture(tmp_path / "model") == picture(tiny_model)


def test_foreign_shape(tiny_model: Path, tmp_path: Path) -> None:
    """A checkpoint with a tensor of another shape than its configuration's is refused with both shapes."""
    file = spoilt(tiny_model, tmp_path / "single.safetensors", middle_block__0__in_layers__0__weight=torch.ones(3))
    refused = refusal(file, tiny_model, tmp_path / "model")
    assert refused.exit_code == ExitCode.MODEL_REFUSED
    assert "mid_block.resnets.0.norm1.weight" in refused.message


@pytest.mark.parametrize(("value", "dtype"), [(float("nan"), "float32"), (1e6, "float16")])
def test_numbers_that_are_not_finite(tiny_model: Path, tmp_path: Path, value: float, dtype: str) -> None:
    """Weights that are NaN, or overflow in float16, are refused."""
    bias = torch.full((32,), value)
    file = spoilt(tiny_model, tmp_path / "single.safetensors", input_blocks__0__0__bias=bias)
    refused = refusal(file, tiny_model, tmp_path / "model", dtype=dtype)
    assert (refused.exit_code, "conv_in.bias" in refused.message) == (ExitCode.MODEL_DAMAGED, True)


def test_unknown_scheduler(tiny_model: Path, tmp_path: Path) -> None:
    """A converted folder that can't be loaded is refused with a worker's error."""
    file = write_checkpoint(tiny_model, tmp_path / "single.safetensors")
    order = conversion_of(file, tiny_model, tmp_path / "model")
    index = tmp_path / "model/model_index.json"
    index.write_text(index.read_text().replace("PNDMScheduler", "NoSuchScheduler"))
    answer = convert.attempt(order, lambda step: None)
    assert isinstance(answer, Failed)
    assert "NoSuchScheduler" in answer.message


def test_lack_of_memory(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lack of host memory is reported as out of memory."""
    file = write_checkpoint(tiny_model, tmp_path / "single.safetensors")

    def full(*args: Any, **named: Any) -> None:
        torch.empty(1 << 60, dtype=torch.uint8)

    order = conversion_of(file, tiny_model, tmp_path / "model")
    monkeypatch.setattr(convert, "_read", full)
    answer = convert.attempt(order, lambda step: None)
    assert isinstance(answer, Failed)
    assert "ran out of memory" in answer.message
