import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from gpu_consumer.models.model_folder import INDEX, inspect, write_sums
from gpu_consumer.startup import (
    ExitCode,
    ModelDamagedError,
    ModelIncompleteError,
    ModelMissingError,
    StartupError,
)
from tests.support.model_folders import add_checker, copy_model

UNET = Path("unet/diffusion_pytorch_model.safetensors")
SHARD_INDEX = UNET.with_name("diffusion_pytorch_model.safetensors.index.json")
XL = "StableDiffusionXLPipeline"


def _no_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def _no_index(folder: Path) -> None:
    (folder / INDEX).unlink()


def _broken_index(folder: Path) -> None:
    (folder / INDEX).write_text("{")


def _listed_index(folder: Path) -> None:
    (folder / INDEX).write_text("[]")


def _in_index(name: str, value: Any) -> Callable[[Path], None]:
    """Change one entry of the index."""

    def spoil(folder: Path) -> None:
        index = json.loads((folder / INDEX).read_text())
        (folder / INDEX).write_text(json.dumps(index | {name: value}))

    return spoil


def _without(*names: str) -> Callable[[Path], None]:
    """Remove files or folders."""

    def spoil(folder: Path) -> None:
        for name in names:
            if (folder / name).is_dir():
                shutil.rmtree(folder / name)
            else:
                (folder / name).unlink()

    return spoil


def _empty_tokenizer(folder: Path) -> None:
    for file in (folder / "tokenizer").iterdir():
        file.unlink()


def _cut_configuration(folder: Path) -> None:
    file = folder / "vae/config.json"
    file.write_bytes(file.read_bytes()[:-10])


def _pickles_only(folder: Path) -> None:
    (folder / UNET).rename(folder / UNET.with_suffix(".bin"))


def _mixed_variants(folder: Path) -> None:
    (folder / UNET).rename(folder / UNET.with_suffix(".fp16.safetensors"))


def _shards(*names: str) -> Callable[[Path], None]:
    """Split the weights into shards; the index lists `names`."""

    def spoil(folder: Path) -> None:
        (folder / UNET).rename(folder / UNET.with_name("diffusion_pytorch_model-00001-of-00002.safetensors"))
        if names:
            listed = {f"tensor {number}": name for number, name in enumerate(names)}
            (folder / SHARD_INDEX).write_text(json.dumps({"metadata": {}, "weight_map": listed}))

    return spoil


def _unreadable(folder: Path) -> None:
    (folder / "vae/config.json").unlink()
    (folder / "vae/config.json").mkdir()
    (folder / "vae/other.json").symlink_to("nowhere.json")


MISSING, UNSAFE, DAMAGED = ExitCode.MODEL_MISSING, ExitCode.MODEL_UNSAFE, ExitCode.MODEL_DAMAGED
INCOMPLETE, CLASS = ExitCode.MODEL_INCOMPLETE, ExitCode.MODEL_CLASS
FIRST_SHARD = "diffusion_pytorch_model-00001-of-00002.safetensors"
SECOND_SHARD = "diffusion_pytorch_model-00002-of-00002.safetensors"
REFUSALS: dict[str, tuple[Callable[[Path], None], ExitCode, str]] = {
    "no folder": (_no_folder, MISSING, "does not exist"),
    "no index": (_no_index, INCOMPLETE, "diffusers' layout"),
    "broken index": (_broken_index, DAMAGED, "can't be read"),
    "index is a list": (_listed_index, DAMAGED, "not a JSON object"),
    "other class": (_in_index("_class_name", "FluxPipeline"), CLASS, "is a FluxPipeline; only StableDiffusion"),
    "catalogue's other class": (_in_index("_class_name", XL), CLASS, f"is a {XL}, not a StableDiffusionPipeline"),
    "class of its own": (_in_index("_class_name", ["mine", "Pipeline"]), CLASS, "does not name a pipeline class"),
    "foreign library": (_in_index("unet", ["os", "UNet2DConditionModel"]), UNSAFE, "its unet from the library 'os'"),
    "library in an extra": (_in_index("extra", ["mine", "Extra"]), UNSAFE, "its extra from the library 'mine'"),
    "library is a list": (_in_index("extra", [["os"], "Extra"]), UNSAFE, "its extra from"),
    "other network": (_in_index("unet", ["diffusers", "UNet3DConditionModel"]), CLASS, "UNet3DConditionModel"),
    "other scheduler": (_in_index("scheduler", ["diffusers", "UNet2DModel"]), CLASS, "as its scheduler"),
    "part not named": (_in_index("vae", [None, None]), INCOMPLETE, "has no vae"),
    "no tokenizer folder": (_without("tokenizer"), INCOMPLETE, "no tokenizer folder"),
    "empty tokenizer folder": (_empty_tokenizer, INCOMPLETE, "tokenizer lacks tokenizer_config.json and vocab"),
    "no vocabulary": (_without("tokenizer/tokenizer.json"), INCOMPLETE, "lacks vocab.json and merges.txt"),
    "no configuration": (_without("unet/config.json"), INCOMPLETE, "lacks config.json"),
    "cut configuration": (_cut_configuration, DAMAGED, r"vae/config\.json can't be read"),
    "no weights": (_without(str(UNET)), INCOMPLETE, "no weights"),
    "pickles only": (_pickles_only, UNSAFE, "are a pickle"),
    "mixed variants": (_mixed_variants, INCOMPLETE, "mix variants"),
    "shards without a list": (_shards(), INCOMPLETE, "shards of weights, but no"),
    "missing shard": (_shards(FIRST_SHARD, SECOND_SHARD), INCOMPLETE, f"contains no {SECOND_SHARD}"),
    "shard elsewhere": (
        _shards("../vae/diffusion_pytorch_model.safetensors"),
        UNSAFE,
        "not a weights file of the folder",
    ),
    "not a file": (_unreadable, INCOMPLETE, "lacks config.json"),
}


@pytest.mark.parametrize(("spoil", "code", "words"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusals(folder: Path, spoil: Callable[[Path], None], code: ExitCode, words: str) -> None:
    """A folder that can't be served is refused with one sentence and its exit code."""
    spoil(folder)
    with pytest.raises(StartupError, match=words) as refused:
        inspect(folder, prefer_half=False)
    assert refused.value.exit_code == code
    assert "\n" not in refused.value.message
    assert str(folder) in refused.value.message


def test_link_to_nowhere(folder: Path) -> None:
    """A file that can't be opened is reported by name, without a traceback."""
    (folder / "vae/more.json").symlink_to("nowhere.json")
    with pytest.raises(ModelMissingError, match=r"vae/more\.json can't be read: No such file"):
        inspect(folder, prefer_half=False)


def test_linked_folder(tiny_model: Path, tmp_path: Path) -> None:
    """A folder of links, like those in the hub's cache, is accepted."""
    for file in (file for file in tiny_model.rglob("*") if file.is_file()):
        link = tmp_path / "linked" / file.relative_to(tiny_model)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file)
    linked, real = (inspect(path, prefer_half=False) for path in (tmp_path / "linked", tiny_model))
    assert linked.revision == real.revision


def test_shards(folder: Path) -> None:
    """All shards are checked and are part of the revision."""
    whole = load_file(folder / UNET)
    names = sorted(whole)
    parts = {FIRST_SHARD: names[:9], SECOND_SHARD: names[9:]}
    for file, held in parts.items():
        save_file({name: whole[name] for name in held}, folder / UNET.with_name(file))
    (folder / UNET).unlink()
    weight_map = {name: file for file, held in parts.items() for name in held}
    (folder / SHARD_INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert inspect(folder, prefer_half=False)
    second = folder / UNET.with_name(SECOND_SHARD)
    second.write_bytes(second.read_bytes()[:-1])
    with pytest.raises(ModelDamagedError, match=SECOND_SHARD):
        inspect(folder, prefer_half=False)


@pytest.mark.parametrize(
    "part", ["text_encoder_2/model.safetensors", "tokenizer_2/tokenizer.json", "tokenizer_2", "text_encoder_2"]
)
def test_sdxl_needs_its_second_texts(tiny_sdxl_model: Path, tmp_path: Path, part: str) -> None:
    """An SDXL folder passes, and is incomplete without its second text encoder or tokenizer."""
    assert inspect(tiny_sdxl_model, prefer_half=False, pipeline="StableDiffusionXLPipeline").pipeline == XL
    copy = copy_model(tiny_sdxl_model, tmp_path / "model")
    _without(part)(copy)
    with pytest.raises(ModelIncompleteError, match="_2"):
        inspect(copy, prefer_half=False, pipeline="StableDiffusionXLPipeline")


def test_safety_checker_must_be_there(folder: Path) -> None:
    """With the safety checker enabled, a folder without one is refused, and its files are part of the revision."""
    without = inspect(folder, prefer_half=False)
    with pytest.raises(ModelIncompleteError, match="no safety_checker"):
        inspect(folder, prefer_half=False, safety_checker=True)
    add_checker(folder)
    checked = inspect(folder, prefer_half=False, safety_checker=True)
    assert checked.safety_checker
    assert checked.revision != without.revision
    _without("feature_extractor/preprocessor_config.json")(folder)
    with pytest.raises(ModelIncompleteError, match="preprocessor_config"):
        inspect(folder, prefer_half=False, safety_checker=True)


def test_files_that_are_not_loaded_do_not_count(folder: Path) -> None:
    """Weights that are not loaded are neither read nor listed in the manifest."""
    write_sums(folder)
    (folder / UNET.with_name("diffusion_pytorch_model.non_ema.safetensors")).write_bytes(b"anything")
    assert inspect(folder, prefer_half=False)


def test_variant_choice(folder: Path) -> None:
    """Of two variants of the weights, a GPU loads the float16 one and the CPU the other."""
    for weights in list(folder.rglob("*.safetensors")):
        shutil.copy(weights, weights.with_suffix(".fp16.safetensors"))
    assert inspect(folder, prefer_half=True).variant == "fp16"
    assert inspect(folder, prefer_half=False).variant is None


def test_variant_only_folder(folder: Path) -> None:
    """A folder with float16 weights only is loaded on the CPU too."""
    for weights in list(folder.rglob("*.safetensors")):
        weights.rename(weights.with_suffix(".fp16.safetensors"))
    assert inspect(folder, prefer_half=False).variant == "fp16"


def test_revision_names_the_bytes(folder: Path) -> None:
    """The revision is the same for the same files and changes with every byte of them."""
    before = inspect(folder, prefer_half=False).revision
    assert inspect(folder, prefer_half=True).revision == before
    (folder / "scheduler/scheduler_config.json").write_text("{}")
    assert inspect(folder, prefer_half=False).revision != before
