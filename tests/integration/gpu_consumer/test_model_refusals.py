"""Workers with bad models and with models of other classes, as real processes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from gpu_consumer import protocol
from gpu_consumer.models.manifest import SUMS, digest
from gpu_consumer.renderer.process import RenderProcess
from gpu_consumer.startup import ExitCode, ModelClassError, StartupError
from tests.integration.gpu_consumer.workshop import Workshop
from tests.support.fixtures import ServiceFactory
from tests.support.model_folders import copy_model
from tests.support.models import job_input, load_of

UNET = Path("unet/diffusion_pytorch_model.safetensors")


def _missing(folder: Path) -> None:
    shutil.rmtree(folder)


def _pickled(folder: Path) -> None:
    weights = {name: tensor.clone() for name, tensor in load_file(folder / UNET).items()}
    torch.save(weights, folder / UNET)


def _only_pickled(folder: Path) -> None:
    encoder = folder / "text_encoder/model.safetensors"
    encoder.rename(encoder.with_suffix(".bin"))


def _truncated(folder: Path) -> None:
    (folder / UNET).write_bytes((folder / UNET).read_bytes()[:-5000])


def _altered(folder: Path) -> None:
    """Zero some bytes of the weights, which the libraries load silently."""
    content = bytearray((folder / UNET).read_bytes())
    content[-1000:] = bytes(1000)
    (folder / UNET).write_bytes(content)


def _no_tokenizer(folder: Path) -> None:
    for file in (folder / "tokenizer").iterdir():
        file.unlink()


def _other_class(folder: Path) -> None:
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))


def _foreign_tokenizer(folder: Path) -> None:
    (folder / SUMS).unlink()
    path = str(folder / "tokenizer/tokenizer.json")
    tokenizer = Tokenizer.from_file(path)
    tokenizer.add_tokens(["sks"])
    tokenizer.save(path)


def _renamed_layer(folder: Path) -> None:
    """Rename a layer of the text encoder, which the libraries would initialize at random."""
    (folder / SUMS).unlink()
    file = folder / "text_encoder/model.safetensors"
    weights = {name: tensor.clone() for name, tensor in load_file(file).items()}
    weights["of_another.weight"] = weights.pop("final_layer_norm.weight")
    save_file(weights, file, metadata={"format": "pt"})


REFUSALS: dict[str, tuple[Callable[[Path], None], ExitCode, str]] = {
    "missing": (_missing, ExitCode.MODEL_MISSING, "does not exist"),
    "pickle renamed": (_pickled, ExitCode.MODEL_UNSAFE, "are a pickle"),
    "pickled": (_only_pickled, ExitCode.MODEL_UNSAFE, "pickle"),
    "truncated": (_truncated, ExitCode.MODEL_DAMAGED, "is damaged"),
    "altered": (_altered, ExitCode.MODEL_DAMAGED, "its digest is not the one in SHA256SUMS"),
    "no tokenizer": (_no_tokenizer, ExitCode.MODEL_INCOMPLETE, "lacks tokenizer_config.json"),
    "other class": (_other_class, ExitCode.MODEL_CLASS, "is a FluxPipeline"),
    "foreign tokenizer": (_foreign_tokenizer, ExitCode.MODEL_REFUSED, "use the model's own tokenizer"),
    "renamed layer": (
        _renamed_layer,
        ExitCode.MODEL_REFUSED,
        "text_encoder don't match its config.json: final_layer_norm.weight is missing",
    ),
}


@pytest.mark.parametrize(("spoil", "code", "words"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_each_kind_of_bad_model_has_its_exit_code(
    tiny_model: Path, tmp_path: Path, spoil: Callable[[Path], None], code: ExitCode, words: str
) -> None:
    """A render process with a bad model reports the reason in one sentence and exits."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    spoil(folder)
    process = RenderProcess(load_of(folder))
    with pytest.raises(StartupError, match=words) as refused:
        await process.start()
    assert refused.value.exit_code == code
    assert str(folder) in refused.value.message
    assert process.pid is None


async def test_a_worker_leaves_with_the_code_of_its_model(
    workshop: Workshop, start_service: ServiceFactory, tiny_model: Path, tmp_path: Path
) -> None:
    """The worker exits with the refusal's code and logs its message."""
    shutil.copytree(tiny_model, tmp_path / "models/tiny")
    _no_tokenizer(tmp_path / "models/tiny")
    changes = {"DARKROOM_MODELS_HOME": str(tmp_path / "models")}
    worker = await start_service("gpu_consumer", workshop.environment | changes, wait_ready=False)
    assert await worker.wait(120) == ExitCode.MODEL_INCOMPLETE, worker.output()
    assert "tokenizer lacks tokenizer_config.json" in worker.output()


async def test_pinned_manifest_reaches_the_render_process(tiny_model: Path, tmp_path: Path) -> None:
    """A warm process reports the manifest of its folder."""
    pinned = digest(tiny_model / SUMS)
    process = RenderProcess(load_of(tiny_model, manifest_sha256=pinned))
    ready = await process.start()
    await process.stop()
    assert ready.manifest_sha256 == pinned


async def test_sdxl_renders(tiny_sdxl_model: Path) -> None:
    """An SDXL model loads, warms up and renders deterministically by seed."""
    process = RenderProcess(load_of(tiny_sdxl_model, pipeline="StableDiffusionXLPipeline"))
    await process.start()
    made: list[protocol.Picture] = []
    for seed in (7, 7, 8):
        wanted = job_input(seed=seed, scheduler="euler")
        outcome = await process.render(wanted, lambda step: None, on_picture=made.append)
        assert isinstance(outcome, protocol.Rendered), outcome
    await process.stop()
    assert made[0].image == made[1].image
    assert made[1].image.rgb != made[2].image.rgb


async def test_a_folder_of_another_class_than_the_catalogue_says(tiny_sdxl_model: Path, tmp_path: Path) -> None:
    """An SDXL folder with an entry of another class is refused with both names."""
    copy_model(tiny_sdxl_model, tmp_path / "model")
    process = RenderProcess(load_of(tmp_path / "model"))
    with pytest.raises(ModelClassError, match="is a StableDiffusionXLPipeline, not a StableDiffusionPipeline"):
        await process.start()
