"""`darkroom models`, run as its users do, against real folders and a stand-in for the hub."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpu_consumer.models.manifest import SUMS, digest
from gpu_consumer.models.pull import PULLED
from gpu_consumer.startup import ExitCode
from tests.support.commands import Finished, darkroom
from tests.support.hub import REPOSITORY, REVISION, Hub, serving
from tests.support.model_folders import copy_model

CATALOGUE = """
[[models]]
name = "{name}"
path = "{name}"
schedulers = ["ddim"]
width = {{ minimum = 64, maximum = 128, default = 64 }}
height = {{ minimum = 64, maximum = 128, default = 64 }}
steps = {{ minimum = 1, maximum = 100, default = 3 }}
guidance_scale = {{ minimum = 0, maximum = 20, default = 7.5 }}
max_images = 4
max_cost = 20_000_000
"""
FROM_HUB = f'hub = "{REPOSITORY}"\nrevision = "{REVISION}"\n'
UNET = "unet/diffusion_pytorch_model.safetensors"


class Place:
    """A catalogue and the folder of its models."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.catalogue = folder / "models.toml"
        self.environment = {
            "DARKROOM_MODELS_FILE": str(self.catalogue),
            "DARKROOM_MODELS_HOME": str(self.home),
            "DARKROOM_DEVICE": "cpu",
        }

    def describe(self, *entries: tuple[str, str]) -> None:
        """Write the catalogue: names, each with more lines of TOML."""
        self.catalogue.write_text("".join(CATALOGUE.format(name=name) + more for name, more in entries))

    async def run(self, *arguments: str, **environment: str) -> Finished:
        return await darkroom("models", *arguments, **self.environment, **environment)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return an empty models folder and an empty catalogue."""
    return Place(tmp_path)


@pytest.fixture
def hub(tiny_model: Path, tmp_path: Path) -> Iterator[Hub]:
    """Start a hub with the tiny model in both variants of the weights and a repository's other files."""
    repository = copy_model(tiny_model, tmp_path / "repository")
    for weights in list(repository.rglob("*.safetensors")):
        shutil.copy(weights, weights.with_suffix(".fp16.safetensors"))
        shutil.copy(weights, weights.with_suffix(".bin"))
    (repository / "RECIPE").unlink()
    (repository / "README.md").write_text("# Tiny")
    (repository / "unet/custom.py").write_text("raise SystemExit")
    (repository / "v1-5-pruned.safetensors").write_bytes(b"a checkpoint in one file")
    with serving(repository) as served:
        yield served


async def pull(place: Place, hub: Hub, *options: str, **environment: str) -> Finished:
    return await place.run(
        "pull", "small", *options, HF_ENDPOINT=hub.url, HF_HOME=str(place.home / ".hf"), **environment
    )


def files_in(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


async def test_list_shows_the_catalogue(place: Place) -> None:
    """Each model is listed with its class, folder and source."""
    place.describe(("small", FROM_HUB), ("large", 'sizes = ["64x64"]\npipeline = "StableDiffusionXLPipeline"\n'))
    (place.home / "large").mkdir(parents=True)
    small, large = (await place.run("list", "--json")).json
    assert (small["is_there"], small["source"]) == (False, f"{REPOSITORY}@{REVISION}")
    assert (large["is_there"], large["sizes"], large["pipeline"]) == (True, ["64x64"], "StableDiffusionXLPipeline")
    shown = (await place.run("list")).out
    assert str(place.home / "small") in shown


async def test_verify_says_what_a_worker_would(place: Place, tiny_model: Path, tiny_sdxl_model: Path) -> None:
    """Folders of both classes pass, with their revision and manifest."""
    place.describe(("small", ""), ("large", 'pipeline = "StableDiffusionXLPipeline"\n'))
    place.home.mkdir()
    (place.home / "small").symlink_to(tiny_model)
    (place.home / "large").symlink_to(tiny_sdxl_model)
    small, large = (await place.run("verify", "--json")).json
    assert small["code"] is large["code"] is None
    assert small["revision"].startswith("sha256:")
    assert small["manifest_sha256"] == digest(tiny_model / SUMS)
    assert "good" in (await place.run("verify", "large")).out


async def test_verify_leaves_with_the_first_refusal(place: Place, tiny_model: Path) -> None:
    """Every model gets a verdict, and the exit code is a worker's for the first refused model."""
    place.describe(("good", ""), ("cut", ""), ("absent", ""))
    copy_model(tiny_model, place.home / "good")
    weights = copy_model(tiny_model, place.home / "cut") / UNET
    weights.write_bytes(weights.read_bytes()[:-1])
    finished = await place.run("verify", "--json")
    assert finished.exit_code == ExitCode.MODEL_DAMAGED
    codes = [(verdict["code"], verdict["exit_code"]) for verdict in json.loads(finished.out)]
    assert codes == [(None, 0), ("model_damaged", 69), ("model_missing", 65)]
    alone = await place.run("verify", "absent")
    assert (alone.exit_code, "does not exist" in alone.out) == (ExitCode.MODEL_MISSING, True)


async def test_mistakes_are_sentences(place: Place) -> None:
    """An invalid catalogue and an unknown model are reported without a traceback."""
    broken = await place.run("list")
    assert (broken.exit_code, "can't be read" in broken.err) == (ExitCode.SETTINGS, True)
    place.describe(("small", ""))
    unknown = await place.run("verify", "other")
    assert (unknown.exit_code, unknown.err) == (1, "Error: The model must be one of small.\n")


async def test_pull_brings_what_is_loaded(place: Place, hub: Hub) -> None:
    """Only float16 safetensors, configurations and vocabularies are downloaded, checked and listed in a manifest."""
    place.describe(("small", FROM_HUB))
    finished = await pull(place, hub)
    assert finished.exit_code == 0, finished.err
    folder = place.home / "small"
    kinds = {Path(file).suffix for file in files_in(folder)}
    assert kinds == {".json", ".safetensors", ""}
    assert {file.removesuffix(".safetensors")[-5:] for file in files_in(folder) if "safetensors" in file} == {".fp16"}
    assert (folder / PULLED).read_text() == f"{REPOSITORY}@{REVISION}\n"
    assert digest(folder / SUMS) in finished.out
    assert not any(path.endswith((".bin", ".py", ".md")) for path in hub.served)
    assert sorted(path.name for path in place.home.iterdir() if not path.name.startswith(".hf")) == ["small"]
    assert (await place.run("verify")).exit_code == 0


async def test_pull_takes_single_precision_when_the_catalogue_says_so(place: Place, hub: Hub) -> None:
    """A model of dtype float32 is pulled with float32 weights."""
    place.describe(("small", FROM_HUB + 'dtype = "float32"\n'))
    assert (await pull(place, hub)).exit_code == 0
    assert (place.home / "small" / UNET).is_file()
    assert not any("fp16" in path for path in hub.served)


async def test_pull_again_finds_or_mends(place: Place, hub: Hub) -> None:
    """A pulled folder is found without the hub, and a damaged one is pulled again."""
    place.describe(("small", FROM_HUB))
    first = (await pull(place, hub, "--json")).json
    hub.served.clear()
    again = (await pull(place, hub, "--json")).json
    assert (first["is_new"], again["is_new"], hub.served) == (True, False, [])
    weights = place.home / "small/unet/diffusion_pytorch_model.fp16.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    mended = (await pull(place, hub, "--json")).json
    assert mended == first


async def test_pull_replaces_another_revision(place: Place, hub: Hub) -> None:
    """When the catalogue's revision changes, the folder is replaced as a whole."""
    place.describe(("small", FROM_HUB))
    assert (await pull(place, hub)).exit_code == 0
    (place.home / "small" / PULLED).write_text(f"{REPOSITORY}@{'0' * 40}\n")
    (place.home / "small/leftover").touch()
    assert (await pull(place, hub)).exit_code == 0
    assert not (place.home / "small/leftover").exists()


async def test_pull_leaves_a_foreign_folder_alone(place: Place, hub: Hub) -> None:
    """A folder that was not pulled is never overwritten."""
    place.describe(("small", FROM_HUB))
    (place.home / "small").mkdir(parents=True)
    (place.home / "small/precious").touch()
    finished = await pull(place, hub)
    assert (finished.exit_code, files_in(place.home / "small")) == (1, {"precious"})
    assert "that were not pulled" in finished.err


async def test_pull_that_breaks_off_goes_on(place: Place, hub: Hub) -> None:
    """The next pull resumes an interrupted one, and the folder appears only when it is complete."""
    place.describe(("small", FROM_HUB))
    lost = "unet/diffusion_pytorch_model.fp16.safetensors"
    hub.lost.add(lost)
    broken = await pull(place, hub)
    assert (broken.exit_code, "can't be downloaded" in broken.err) == (1, True)
    assert not (place.home / "small").exists()
    arrived = set(hub.served) - {lost}
    hub.lost.clear()
    hub.served.clear()
    finished = await pull(place, hub)
    assert finished.exit_code == 0, finished.err
    assert lost in hub.served
    assert len(set(hub.served) & arrived) < len(arrived)


SPOILT: dict[str, tuple[Any, ExitCode, str]] = {
    "altered on the way": (lambda hub: hub.altered.add(UNET), ExitCode.MODEL_DAMAGED, "was damaged in the download"),
    "pickle by another name": (
        lambda hub: (hub.folder / UNET).write_bytes(b"\x80\x02pickle"),
        ExitCode.MODEL_UNSAFE,
        "are a pickle",
    ),
    "pickles only": (
        lambda hub: [file.unlink() for file in (hub.folder / "unet").glob("*.safetensors")],
        ExitCode.MODEL_UNSAFE,
        "only as a pickle",
    ),
    "no tokenizer": (
        lambda hub: shutil.rmtree(hub.folder / "tokenizer"),
        ExitCode.MODEL_INCOMPLETE,
        "contains no tokenizer/tokenizer_config.json",
    ),
    "another class": (
        lambda hub: (hub.folder / "model_index.json").write_text('{"_class_name": "FluxPipeline"}'),
        ExitCode.MODEL_CLASS,
        "FluxPipeline",
    ),
}


@pytest.mark.parametrize(("spoil", "code", "words"), SPOILT.values(), ids=SPOILT.keys())
async def test_pull_keeps_out_what_a_worker_would_refuse(
    place: Place, hub: Hub, spoil: Any, code: ExitCode, words: str
) -> None:
    """A bad model is refused with a worker's exit code, and its files are removed."""
    place.describe(("small", FROM_HUB + 'dtype = "float32"\n'))
    spoil(hub)
    finished = await pull(place, hub)
    assert (finished.exit_code, words in finished.err) == (code, True), finished.err
    assert [path.name for path in place.home.iterdir() if path.name != ".hf"] == []


async def test_pull_holds_to_the_pinned_manifest(place: Place, hub: Hub) -> None:
    """A pull whose manifest differs from the pinned one is refused."""
    place.describe(("small", FROM_HUB + f'manifest_sha256 = "{"0" * 64}"\n'))
    refused = await pull(place, hub)
    assert (refused.exit_code, "differs from the one that the catalogue pins" in refused.err) == (
        ExitCode.MODEL_DAMAGED,
        True,
    )
    assert not (place.home / "small").exists()


@pytest.mark.long
async def test_hubs_that_give_nothing(place: Place, hub: Hub) -> None:
    """A missing hub, repository or commit, a gated repository and an unreachable hub each give one sentence."""
    place.describe(("small", ""))
    assert "names no hub" in (await pull(place, hub)).err
    place.describe(("small", FROM_HUB.replace("acme/tiny", "acme/other")))
    assert "has no repository acme/other" in (await pull(place, hub)).err
    place.describe(("small", FROM_HUB.replace(REVISION, "f" * 40)))
    assert f"has no commit {'f' * 40}" in (await pull(place, hub)).err
    place.describe(("small", FROM_HUB))
    hub.gated = True
    assert "is gated; accept its terms" in (await pull(place, hub)).err
    hub.url = "http://127.0.0.1:9"
    nobody = await pull(place, hub)
    assert (nobody.exit_code, "can't be downloaded" in nobody.err, "Traceback" in nobody.err) == (1, True, False)


async def test_one_pull_at_a_time(place: Place, hub: Hub) -> None:
    """Of two concurrent pulls, one downloads the model and the other finds it or reports the first."""
    place.describe(("small", FROM_HUB))
    both = await asyncio.gather(pull(place, hub), pull(place, hub))
    assert 0 in [finished.exit_code for finished in both]
    for finished in both:
        assert finished.exit_code == 0 or "Another pull is running" in finished.err
    assert (await place.run("verify")).exit_code == 0
