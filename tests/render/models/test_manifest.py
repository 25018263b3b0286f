"""The manifest, SHA256SUMS."""

import shutil
from pathlib import Path

import pytest

from gpu_consumer.models.manifest import SUMS, digest
from gpu_consumer.models.model_folder import inspect, write_sums
from gpu_consumer.startup import ModelDamagedError, ModelIncompleteError

UNET = Path("unet/diffusion_pytorch_model.safetensors")


def test_manifest_that_the_catalogue_pins(folder: Path) -> None:
    """A folder without the pinned manifest, or with another one, is refused."""
    assert inspect(folder, prefer_half=False).manifest_sha256 is None
    with pytest.raises(ModelIncompleteError, match="contains no SHA256SUMS"):
        inspect(folder, prefer_half=False, manifest_sha256="0" * 64)
    write_sums(folder)
    pinned = digest(folder / SUMS)
    assert inspect(folder, prefer_half=False, manifest_sha256=pinned).manifest_sha256 == pinned
    (folder / "scheduler/scheduler_config.json").write_text("{}")
    write_sums(folder)  # consistent again, but another model
    with pytest.raises(ModelDamagedError, match="differs from the one that the catalogue pins"):
        inspect(folder, prefer_half=False, manifest_sha256=pinned)


def test_manifest_of_both_variants(folder: Path) -> None:
    """A manifest lists both variants of the weights, so that GPU and CPU workers can share a folder."""
    for weights in list(folder.rglob("*.safetensors")):
        shutil.copy(weights, weights.with_suffix(".fp16.safetensors"))
    write_sums(folder)
    assert inspect(folder, prefer_half=True).variant == "fp16"
    assert inspect(folder, prefer_half=False).variant is None


def test_zeroed_weights_are_noticed(folder: Path) -> None:
    """Weights with zeroed bytes, which the libraries would load, are refused by the manifest."""
    write_sums(folder)
    content = bytearray((folder / UNET).read_bytes())
    content[-1000:] = bytes(1000)
    (folder / UNET).write_bytes(content)
    with pytest.raises(ModelDamagedError, match=f"{UNET} is damaged"):
        inspect(folder, prefer_half=False)


def test_file_outside_the_manifest(folder: Path) -> None:
    """A file that the manifest does not list is refused."""
    write_sums(folder)
    (folder / "unet/added.json").write_text("{}")
    with pytest.raises(ModelDamagedError, match=r"added\.json"):
        inspect(folder, prefer_half=False)


def test_binary_mode_manifest(folder: Path) -> None:
    """A manifest with sha256sum's asterisks for binary mode is accepted."""
    write_sums(folder)
    (folder / SUMS).write_text((folder / SUMS).read_text().replace("  ", " *"))
    assert inspect(folder, prefer_half=False).revision.startswith("sha256:")
