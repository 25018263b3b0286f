from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from darkroom_contracts.models import Model
from gpu_consumer.models.selection import choose
from gpu_consumer.startup import ModelIncompleteError, ModelUnsafeError, StartupError

TEXTS: tuple[str, ...] = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "tokenizer/vocab.json",
    "tokenizer/merges.txt",
)
TEXTS += ("tokenizer/tokenizer_config.json", "tokenizer/special_tokens_map.json")
CONFIGURATIONS = tuple(f"{part}/config.json" for part in ("text_encoder", "unet", "vae"))
PLAIN: tuple[str, ...] = tuple(f"{part}/diffusion_pytorch_model.safetensors" for part in ("unet", "vae"))
PLAIN += ("text_encoder/model.safetensors",)
HALF = tuple(path.replace(".safetensors", ".fp16.safetensors") for path in PLAIN)
PICKLED = tuple(path.replace(".safetensors", ".bin") for path in PLAIN)
NEEDED = TEXTS + CONFIGURATIONS
CHECKER: tuple[str, ...] = ("safety_checker/config.json", "safety_checker/model.fp16.safetensors")
CHECKER += ("feature_extractor/preprocessor_config.json",)
OTHERS: tuple[str, ...] = (
    "README.md",
    ".gitattributes",
    "v1-5-pruned.safetensors",
    "unet/custom.py",
    "unet/flax_model.msgpack",
)
OTHERS += ("unet/diffusion_pytorch_model.non_ema.safetensors", "unet/../config.json", "unet/deep/config.json")
SIDE = {"minimum": 64, "maximum": 128, "default": 64}


def model(**changes: Any) -> Model:
    """Return a model at acme/small, with changes."""
    entry = {
        "name": "small",
        "path": "small",
        "schedulers": ["ddim"],
        "width": SIDE,
        "height": SIDE,
        "steps": {"minimum": 1, "maximum": 50, "default": 20},
        "guidance_scale": {"minimum": 0, "maximum": 20, "default": 7.5},
        "max_images": 4,
        "max_cost": 10_000_000,
        "hub": "acme/small",
        "revision": "0" * 40,
    }
    return msgspec.convert(entry | changes, Model)


@pytest.mark.parametrize(
    ("offered", "changes", "expected"),
    [
        pytest.param(PLAIN + HALF, {}, HALF, id="both"),
        pytest.param(PLAIN + HALF, {"dtype": "float32"}, PLAIN, id="both, single wanted"),
        pytest.param(PLAIN, {}, PLAIN, id="plain only"),
        pytest.param(HALF, {"dtype": "float32"}, HALF, id="half only, single wanted"),
        pytest.param(PLAIN + HALF[:1], {}, PLAIN, id="half of one part only"),
        pytest.param(HALF + PICKLED + OTHERS + CHECKER, {}, HALF, id="among others"),
        pytest.param(HALF + CHECKER, {"safety_checker": True}, HALF + CHECKER, id="with a safety checker"),
        pytest.param((*HALF, "SHA256SUMS"), {}, (*HALF, "SHA256SUMS"), id="with a manifest"),
    ],
)
def test_what_is_taken(offered: Iterable[str], changes: dict[str, Any], expected: Iterable[str]) -> None:
    """Only files that are loaded are chosen, with one variant of the weights."""
    assert choose((*NEEDED, *offered), model(**changes)) == sorted((*NEEDED, *expected))


def test_shards_come_with_their_list() -> None:
    """Shards are chosen with their index."""
    shards = [f"unet/diffusion_pytorch_model.fp16-0000{number}-of-00002.safetensors" for number in (1, 2)]
    listed = "unet/diffusion_pytorch_model.safetensors.index.fp16.json"
    chosen = choose((*NEEDED, *HALF[1:], *shards, listed), model())
    assert {*shards, listed} <= set(chosen)


@pytest.mark.parametrize(
    ("offered", "changes", "error", "words"),
    [
        pytest.param(TEXTS[1:] + CONFIGURATIONS + HALF, {}, ModelIncompleteError, "model_index", id="no index"),
        pytest.param(NEEDED + HALF[1:], {}, ModelIncompleteError, "no weights of its unet", id="no weights"),
        pytest.param(NEEDED + PICKLED, {}, ModelUnsafeError, "only as a pickle", id="pickles only"),
        pytest.param(NEEDED + HALF[:2] + PLAIN[2:], {}, ModelIncompleteError, "mixes variants", id="mixed"),
        pytest.param(NEEDED + HALF, {"safety_checker": True}, ModelIncompleteError, "safety_checker", id="no checker"),
        pytest.param(
            NEEDED + HALF,
            {"pipeline": "StableDiffusionXLPipeline"},
            ModelIncompleteError,
            "text_encoder_2",
            id="SDXL without its second text encoder",
        ),
    ],
)
def test_what_lacks_is_told_before_it_is_pulled(
    offered: Iterable[str], changes: dict[str, Any], error: type[StartupError], words: str
) -> None:
    """A repository without the complete model is refused by name before the download."""
    with pytest.raises(error, match=f"acme/small at {'0' * 40} .*{words}"):
        choose(offered, model(**changes))
