import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gpu_consumer.render.model_folder import SUMS, inspect, write_sums
from gpu_consumer.startup import ModelMissingError, ModelRefusedError, StartupError

UNET = Path("unet/diffusion_pytorch_model.safetensors")


def _no_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def _no_index(folder: Path) -> None:
    (folder / "model_index.json").unlink()


def _broken_index(folder: Path) -> None:
    (folder / "model_index.json").write_text("{")


def _other_kind(folder: Path) -> None:
    (folder / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')


def _no_tokenizer(folder: Path) -> None:
    shutil.rmtree(folder / "tokenizer")


def _no_weights(folder: Path) -> None:
    (folder / UNET).unlink()


def _pickles_only(folder: Path) -> None:
    (folder / UNET).rename(folder / UNET.with_suffix(".bin"))


def _mixed_variants(folder: Path) -> None:
    (folder / UNET).rename(folder / UNET.with_suffix(".fp16.safetensors"))


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (_no_folder, ModelMissingError, "does not exist"),
        (_no_index, ModelMissingError, "diffusers' layout"),
        (_broken_index, ModelRefusedError, "can't be read"),
        (_other_kind, ModelRefusedError, "FluxPipeline"),
        (_no_tokenizer, ModelMissingError, "no tokenizer folder"),
        (_no_weights, ModelMissingError, "no weights"),
        (_pickles_only, ModelRefusedError, "pickled"),
        (_mixed_variants, ModelRefusedError, "fp16 variant"),
    ],
)
def test_refusals(folder: Path, spoil: Callable[[Path], None], error: type[StartupError], words: str) -> None:
    """A folder that can't be served is refused with one sentence that says what is wrong with it."""
    spoil(folder)
    with pytest.raises(error, match=words):
        inspect(folder, prefer_half=False)


def test_zeroed_weights_are_noticed(folder: Path) -> None:
    """Weights whose bytes were zeroed, which would load without complaint, are refused by the manifest."""
    write_sums(folder)
    content = bytearray((folder / UNET).read_bytes())
    content[-1000:] = bytes(1000)
    (folder / UNET).write_bytes(content)
    with pytest.raises(ModelRefusedError, match=f"{UNET} is damaged"):
        inspect(folder, prefer_half=False)


def test_file_outside_the_manifest(folder: Path) -> None:
    """A file that the manifest does not list is refused, since nobody vouched for it."""
    write_sums(folder)
    (folder / "unet/added.json").write_text("{}")
    with pytest.raises(ModelRefusedError, match=r"added\.json"):
        inspect(folder, prefer_half=False)


def test_binary_mode_manifest(folder: Path) -> None:
    """A manifest with sha256sum's asterisks for binary mode counts too."""
    write_sums(folder)
    (folder / SUMS).write_text((folder / SUMS).read_text().replace("  ", " *"))
    assert inspect(folder, prefer_half=False).revision.startswith("sha256:")


def test_variant_choice(folder: Path) -> None:
    """Where both kinds of weights are there, a GPU takes the half-precision ones and the CPU the others."""
    for weights in list(folder.rglob("*.safetensors")):
        shutil.copy(weights, weights.with_suffix(".fp16.safetensors"))
    assert inspect(folder, prefer_half=True).variant == "fp16"
    assert inspect(folder, prefer_half=False).variant is None


def test_variant_only_folder(folder: Path) -> None:
    """A folder that has half-precision weights only is loaded by them on the CPU as well."""
    for weights in list(folder.rglob("*.safetensors")):
        weights.rename(weights.with_suffix(".fp16.safetensors"))
    assert inspect(folder, prefer_half=False).variant == "fp16"


def test_revision_names_the_bytes(folder: Path) -> None:
    """The revision stays while the files do and changes with a byte of them."""
    before = inspect(folder, prefer_half=False).revision
    assert inspect(folder, prefer_half=True).revision == before
    (folder / "scheduler/scheduler_config.json").write_text("{}")
    assert inspect(folder, prefer_half=False).revision != before
