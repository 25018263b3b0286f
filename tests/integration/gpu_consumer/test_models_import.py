"""`darkroom models import`, run as its users do, on real checkpoints made small."""

import gzip
import json
import tomllib
import zipfile
from pathlib import Path

import pytest
import torch

from darkroom_contracts.models import load_catalogue
from gpu_consumer.models.families import Family
from gpu_consumer.models.manifest import SUMS, digest
from gpu_consumer.models.vocabularies import BPE_FILE
from gpu_consumer.startup import ExitCode
from gpu_consumer.tiny.tokenizer import MERGES, WORDS, train_merges
from tests.integration.gpu_consumer.import_desk import OTHER, Desk
from tests.support.commands import darkroom
from tests.support.rendering import open_pipeline, render
from tests.support.safetensors_headers import write_header
from tests.support.single_file import write_checkpoint


@pytest.fixture
def desk(tiny_model: Path, tmp_path: Path) -> Desk:
    """Return the tiny model as a single file."""
    return Desk(tmp_path, tiny_model)


@pytest.mark.parametrize(
    ("fixture", "family"),
    [("tiny_model", Family.SD1), ("tiny_sd2_model", Family.SD2), ("tiny_sdxl_model", Family.SDXL)],
)
async def test_imported_model_renders_the_same(
    request: pytest.FixtureRequest, tmp_path: Path, fixture: str, family: Family
) -> None:
    """An imported checkpoint of each family passes a worker's checks and renders the original's bytes."""
    original = request.getfixturevalue(fixture)
    desk = Desk(tmp_path, original)
    finished = await desk.run_as_tiny("--catalogue", str(desk.catalogue))
    assert finished.exit_code == 0, finished.err
    entry = load_catalogue(desk.catalogue).find("mine")
    assert (entry.pipeline, entry.dtype, entry.sizes) == (family.pipeline, "float32", ("64x64",))
    assert entry.manifest_sha256 == digest(desk.model / SUMS)
    verified = await darkroom("models", "verify", "mine", DARKROOM_DEVICE="cpu", **desk.environment)
    assert verified.exit_code == 0, verified.out
    before, after = (render(open_pipeline(folder, pipeline=family.pipeline)) for folder in (original, desk.model))
    assert before.images == after.images


async def test_what_is_printed(desk: Desk) -> None:
    """The entry goes to standard output, the progress to standard error, and no files are left beside the model."""
    finished = await desk.run_as_tiny("--description", "Drawn by hand.", "--path", "drawn/mine")
    assert finished.exit_code == 0, finished.err
    (entry,) = tomllib.loads(finished.out.partition("[[models]]")[1] + finished.out.partition("[[models]]")[2])[
        "models"
    ]
    assert (entry["name"], entry["path"], entry["description"]) == ("mine", "drawn/mine", "Drawn by hand.")
    assert entry["manifest_sha256"] == digest(desk.home / "drawn/mine" / SUMS)
    assert [line.split(" ...")[0] for line in finished.err.splitlines()] == [
        f"Reading {desk.file}",
        "Converting the text_encoder",
        "Converting the unet",
        "Converting the vae",
        "Checking the model folder",
        "Loading the pipeline once",
    ]
    assert [path.name for path in (desk.home / "drawn").iterdir()] == ["mine"]
    assert desk.catalogue.read_text() == OTHER


async def test_json_is_one_object(desk: Desk) -> None:
    """With --json the output is one object, with the entry as data and as TOML."""
    printed = (await desk.run_as_tiny("--json", "--catalogue", str(desk.catalogue))).json
    assert (printed["model"], printed["is_new"], printed["folder"], printed["is_added"]) == (
        "mine",
        True,
        str(desk.model),
        True,
    )
    assert printed["manifest_sha256"] == printed["entry"]["manifest_sha256"] == digest(desk.model / SUMS)
    assert printed["toml"] in desk.catalogue.read_text()
    assert desk.catalogue.read_text().startswith(OTHER.rstrip())


async def test_imported_again(desk: Desk) -> None:
    """Repeating an import finds its folder and entry; one with other options or another file changes nothing."""
    first = (await desk.run_as_tiny("--json", "--catalogue", str(desk.catalogue))).json
    written = desk.catalogue.read_text()
    again = (await desk.run_as_tiny("--json", "--catalogue", str(desk.catalogue))).json
    assert again == first | {"is_new": False, "is_added": False}
    assert desk.catalogue.read_text() == written
    other = await desk.run_as_tiny("--dtype", "float16")
    assert (other.exit_code, "or with other options; choose another" in other.err) == (1, True)
    assert digest(desk.model / SUMS) == first["manifest_sha256"]
    assert desk.left() == ["mine"]


async def test_damage_is_found(desk: Desk) -> None:
    """An imported folder that was altered is refused, even with an adapted manifest."""
    assert (await desk.run_as_tiny()).exit_code == 0
    file = desk.model / "unet/config.json"
    sums = (desk.model / SUMS).read_text()
    before = digest(file)
    file.write_text(file.read_text() + "\n")
    (desk.model / SUMS).write_text(sums.replace(before, digest(file)))
    finished = await desk.run_as_tiny()
    assert (finished.exit_code, "remove" in finished.err) == (ExitCode.MODEL_DAMAGED, True)


async def test_other_folders_are_left_alone(desk: Desk) -> None:
    """A folder with other content is refused before the checkpoint is read."""
    desk.model.mkdir(parents=True)
    (desk.model / "precious").touch()
    finished = await desk.run_as_tiny()
    assert (finished.exit_code, "that were not imported" in finished.err, "Reading" in finished.err) == (1, True, False)
    assert [path.name for path in desk.model.iterdir()] == ["precious"]


async def test_tokenizer_from_a_wheel(tiny_sdxl_model: Path, tmp_path: Path) -> None:
    """CLIP's vocabulary from a wheel makes both tokenizers of SDXL, each with its own padding token."""
    desk = Desk(tmp_path, tiny_sdxl_model)
    names = ("tokenizer", "tokenizer_2")
    for name in names:
        for file in (desk.config / name).iterdir():
            file.unlink()
    absent = await desk.run_as_tiny()
    assert (absent.exit_code, "pip download --no-deps open-clip-torch" in absent.err) == (71, True)
    wheel = tmp_path / "open_clip_torch-3.3.0-py3-none-any.whl"
    merges = [" ".join(pair) for pair in train_merges(WORDS.split(), MERGES)]
    with zipfile.ZipFile(wheel, "w") as opened:
        opened.writestr(f"open_clip/{BPE_FILE}", gzip.compress("\n".join(["version", *merges]).encode()))
    finished = await desk.run_as_tiny("--tokenizer", str(wheel))
    assert finished.exit_code == 0, finished.err
    pads = [json.loads((desk.model / name / "tokenizer_config.json").read_text())["pad_token"] for name in names]
    assert pads == ["<|endoftext|>", "!"]


async def test_prediction_of_stable_diffusion_2(tiny_sd2_model: Path, tmp_path: Path) -> None:
    """A checkpoint of 2.x needs the option unless it declares its prediction type."""
    desk = Desk(tmp_path, tiny_sd2_model)
    silent = await desk.run()
    assert (silent.exit_code, "add --prediction-type v_prediction" in silent.err) == (1, True)
    printed = await desk.run("--prediction-type", "epsilon")
    assert "has other dimensions" in printed.err
    file = write_checkpoint(tiny_sd2_model, tmp_path / "said.safetensors", {"modelspec.prediction_type": "epsilon"})
    assert "has other dimensions" in (await desk.run(file=file)).err
    finished = await desk.run_as_tiny(file=file)
    assert finished.exit_code == 0, finished.err
    scheduler = json.loads((desk.model / "scheduler/scheduler_config.json").read_text())
    assert scheduler["prediction_type"] == "epsilon"


def trap_for_torch(place: Path) -> Path:
    """Return a folder for the module path whose torch leaves a trace when it is imported."""
    trap = place / "trap"
    trap.mkdir()
    (trap / "torch.py").write_text(f"open({str(place / 'imported')!r}, 'w')")
    return trap


REFUSED: dict[str, tuple[dict[str, tuple[int, ...]], ExitCode, str]] = {
    "LoRA": ({"lora_unet_mid_block_attentions_0.lora_up.weight": (8, 4)}, ExitCode.MODEL_CLASS, "contains a LoRA"),
    "VAE": ({"decoder.mid.block_1.norm1.weight": (8,)}, ExitCode.MODEL_CLASS, "contains a VAE"),
    "UNet": ({"model.diffusion_model.input_blocks.0.0.weight": (8, 4, 3, 3)}, ExitCode.MODEL_INCOMPLETE, "without its"),
}


@pytest.mark.parametrize(("shapes", "code", "words"), REFUSED.values(), ids=REFUSED.keys())
async def test_refused_before_torch(
    desk: Desk, tmp_path: Path, shapes: dict[str, tuple[int, ...]], code: ExitCode, words: str
) -> None:
    """A file that is not a checkpoint is refused with a worker's exit code, without importing torch."""
    file = write_header(tmp_path / "x.safetensors", shapes)
    finished = await desk.run(file=file, PYTHONPATH=str(trap_for_torch(tmp_path)))
    assert (finished.exit_code, words in finished.err, "Traceback" in finished.err) == (code, True, False), finished.err
    assert not (tmp_path / "imported").exists()
    assert desk.left() == []


async def test_pickle_is_never_opened(desk: Desk, tmp_path: Path) -> None:
    """A .ckpt file is refused as a pickle by its first bytes."""
    torch.save({"state_dict": {"model.diffusion_model.input_blocks.0.0.weight": torch.ones(8)}}, tmp_path / "x.ckpt")
    finished = await desk.run(file=tmp_path / "x.ckpt", PYTHONPATH=str(trap_for_torch(tmp_path)))
    assert (finished.exit_code, "is a pickle" in finished.err) == (ExitCode.MODEL_UNSAFE, True)
    assert not (tmp_path / "imported").exists()


async def test_refused_while_converting(desk: Desk, tiny_model: Path) -> None:
    """A checkpoint with mismatched weights is refused with a worker's exit code, and its files are removed."""
    config = desk.config / "vae/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"latent_channels": 8}))
    finished = await desk.run_as_tiny("--catalogue", str(desk.catalogue))
    assert (finished.exit_code, "Traceback" in finished.err) == (ExitCode.MODEL_REFUSED, False), finished.err
    assert (desk.left(), desk.catalogue.read_text()) == ([], OTHER)


async def test_catalogue_is_looked_at_first(desk: Desk) -> None:
    """A catalogue that can't take the entry is reported before the conversion."""
    desk.catalogue.write_text(OTHER.replace("other", "mine").replace('path = "mine"', 'path = "elsewhere"'))
    taken = await desk.run_as_tiny("--catalogue", str(desk.catalogue))
    assert (taken.exit_code, "another entry named mine" in taken.err) == (ExitCode.SETTINGS, True)
    desk.catalogue.write_text("models = 3")
    broken = await desk.run_as_tiny("--catalogue", str(desk.catalogue))
    assert (broken.exit_code, "is wrong" in broken.err) == (ExitCode.SETTINGS, True)
    assert desk.left() == []
