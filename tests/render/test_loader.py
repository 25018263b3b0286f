import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from darkroom_contracts.models import Dtype, PipelineClass
from gpu_consumer.models.model_folder import inspect
from gpu_consumer.render import device
from gpu_consumer.render.loader import load_pipeline
from gpu_consumer.startup import DeviceMissingError, ModelRefusedError, RenderProcessFailedError, StartupError
from tests.support.model_folders import add_checker, copy_model
from tests.support.rendering import open_pipeline


def test_loads_a_variant_only_folder(folder: Path) -> None:
    """A folder of float16 weights loads on the CPU in float32."""
    for weights in list(folder.rglob("*.safetensors")):
        weights.rename(weights.with_suffix(".fp16.safetensors"))
    model = load_pipeline(inspect(folder, prefer_half=False), "cpu", "float32")
    assert str(model.dtype) == "torch.float32"


SD: PipelineClass = "StableDiffusionPipeline"
XL: PipelineClass = "StableDiffusionXLPipeline"


@pytest.fixture
def checked(folder: Path) -> Path:
    """Return a folder of Stable Diffusion 1.x with a safety checker."""
    add_checker(folder)
    return folder


@pytest.fixture
def xl(tiny_sdxl_model: Path, tmp_path: Path) -> Path:
    """Return a copy of the SDXL folder."""
    return copy_model(tiny_sdxl_model, tmp_path / "xl")


@pytest.mark.parametrize(
    ("family", "part"),
    [(SD, name) for name in ("text_encoder", "unet", "vae", "safety_checker")]
    + [(XL, name) for name in ("text_encoder", "text_encoder_2", "unet", "vae")],
)
def test_a_renamed_layer_is_refused(checked: Path, xl: Path, family: PipelineClass, part: str) -> None:
    """Weights without one of their layers are refused by the part's and the layer's name."""
    path = checked if family == SD else xl
    weights = _weights(path / part)
    renamed = next(key for key in weights if key.endswith(".weight"))
    weights[f"{renamed}.of_another"] = weights.pop(renamed)
    _save_weights(path / part, weights)
    folder = inspect(path, prefer_half=False, pipeline=family, safety_checker=family == SD)
    with pytest.raises(ModelRefusedError, match=rf"/{part} don't match its config.json: .*{re.escape(renamed)}"):
        load_pipeline(folder, "cpu", "float32")


def test_only_the_first_missing_layers_are_named(folder: Path) -> None:
    """A refusal for many missing layers is one short sentence."""
    weights = _weights(folder / "text_encoder")
    kept = dict(list(weights.items())[:4])
    _save_weights(folder / "text_encoder", kept)
    with pytest.raises(ModelRefusedError, match=rf" and {len(weights) - len(kept) - 3} more are missing\.$"):
        load_pipeline(inspect(folder, prefer_half=False), "cpu", "float32")


@pytest.mark.parametrize("part", ["text_encoder", "unet", "vae"])
def test_a_layer_of_another_shape_is_refused(folder: Path, part: str) -> None:
    """Weights with another shape than their configuration's are refused."""
    weights = _weights(folder / part)
    key = next(key for key in weights if key.endswith(".weight"))
    weights[key] = torch.cat([weights[key], weights[key]])
    _save_weights(folder / part, weights)
    with pytest.raises(ModelRefusedError, match=re.escape(key)):
        load_pipeline(inspect(folder, prefer_half=False), "cpu", "float32")


def test_buffers_of_older_files_are_left_alone(checked: Path, xl: Path) -> None:
    """Files with additional weights, such as older files' position_ids, load."""
    _add_position_ids(checked / "text_encoder", "text_model.embeddings.position_ids")
    _add_position_ids(checked / "safety_checker", "vision_model.vision_model.embeddings.position_ids")
    _add_position_ids(xl / "text_encoder_2", "text_model.embeddings.position_ids")
    for path, family in ((checked, SD), (xl, XL)):
        folder = inspect(path, prefer_half=False, pipeline=family, safety_checker=family == SD)
        assert type(load_pipeline(folder, "cpu", "float32")).__name__ == family


def test_foreign_tokenizer(folder: Path) -> None:
    """A tokenizer whose vocabulary does not match the text encoder is refused."""
    _teach(folder / "tokenizer", "sks")
    with pytest.raises(ModelRefusedError, match="use the model's own tokenizer"):
        load_pipeline(inspect(folder, prefer_half=False), "cpu", "float32")


def test_loads_sdxl(tiny_sdxl_model: Path) -> None:
    """An SDXL folder loads with both text encoders and without a watermark."""
    folder = inspect(tiny_sdxl_model, prefer_half=False, pipeline="StableDiffusionXLPipeline")
    model = load_pipeline(folder, "cpu", "float32")
    assert type(model).__name__ == "StableDiffusionXLPipeline"
    assert type(model.text_encoder_2).__name__ == "CLIPTextModelWithProjection"
    assert model.watermark is None
    assert model.vae.config.force_upcast


@pytest.mark.parametrize("tokenizer", ["tokenizer", "tokenizer_2"])
def test_foreign_tokenizer_of_sdxl(tiny_sdxl_model: Path, tmp_path: Path, tokenizer: str) -> None:
    """Each of SDXL's two tokenizers is compared with its own text encoder."""
    copy = copy_model(tiny_sdxl_model, tmp_path / "model")
    _teach(copy / tokenizer, "sks")
    folder = inspect(copy, prefer_half=False, pipeline="StableDiffusionXLPipeline")
    with pytest.raises(ModelRefusedError, match=f"{tokenizer} has .* its text encoder"):
        load_pipeline(folder, "cpu", "float32")


def test_loads_a_model_of_stable_diffusion_2(tiny_sd2_model: Path) -> None:
    """A model like SD 2.1 loads with the same class and keeps its v-prediction."""
    model = load_pipeline(inspect(tiny_sd2_model, prefer_half=False), "cpu", "float32")
    assert model.scheduler.config.prediction_type == "v_prediction"
    assert model.text_encoder.config.hidden_act == "gelu"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_precision_is_the_one_asked_for(folder: Path, dtype: Dtype) -> None:
    """The model loads in the catalogue's dtype on every device."""
    assert str(load_pipeline(inspect(folder, prefer_half=False), "cpu", dtype).dtype) == f"torch.{dtype}"


def test_safety_checker_on_request(folder: Path) -> None:
    """A folder's safety checker and feature extractor are loaded only if the catalogue enables them."""
    add_checker(folder)
    without = load_pipeline(inspect(folder, prefer_half=False), "cpu", "float32")
    assert without.safety_checker is None
    assert without.feature_extractor is None
    model = load_pipeline(inspect(folder, prefer_half=False, safety_checker=True), "cpu", "float32")
    prepared = model.feature_extractor([Image.new("RGB", (64, 64))], return_tensors="pt").pixel_values
    _, objections = model.safety_checker(images=np.zeros((1, 64, 64, 3)), clip_input=prepared)
    assert objections == [False]


@pytest.mark.parametrize(
    "trouble",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered"),
        MemoryError(),
    ],
    ids=lambda trouble: type(trouble).__name__,
)
@pytest.mark.parametrize("call", ["to", "from_pretrained"])
def test_a_lack_of_memory_refuses_no_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch, trouble: Exception, call: str
) -> None:
    """The memory or the device that fails while a model is loaded may be there at the next start."""

    def fail(*arguments: Any, **named: Any) -> None:
        raise trouble

    monkeypatch.setattr(StableDiffusionPipeline, call, fail)
    with pytest.raises(RenderProcessFailedError, match="could not be loaded") as failed:
        open_pipeline(folder)
    assert not failed.value.exit_code.permanent


def test_cuda_is_never_replaced_by_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker set to CUDA on a machine without it refuses to start and names the setting for the CPU."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DeviceMissingError, match="DARKROOM_DEVICE=cpu"):
        device.confirm("cuda")


@pytest.mark.parametrize(
    ("trouble", "refusal"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), RenderProcessFailedError),
        (torch.AcceleratorError("CUDA error: no kernel image is available for execution"), DeviceMissingError),
    ],
)
def test_a_device_whose_memory_is_taken_is_not_missing(
    monkeypatch: pytest.MonkeyPatch, trouble: Exception, refusal: type[StartupError]
) -> None:
    """Memory that another process holds may be free at the next start; a GPU that can't compute stays so."""

    def fail(*arguments: Any, **named: Any) -> None:
        raise trouble

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", fail)
    with pytest.raises(refusal):
        device.confirm("cuda")


def test_cpu_when_asked_for() -> None:
    """The device `cpu` is confirmed when it is set."""
    assert device.confirm("cpu") == "cpu"


def test_tokenizer_as_stable_diffusion_ships_it(folder: Path) -> None:
    """A tokenizer in SD 1.5's own files (vocab.json, merges.txt, special tokens as objects) reads text the same way."""
    text = "A lighthouse in fog, zebra 🙂"
    modern = load_pipeline(inspect(folder, prefer_half=False), "cpu", "float32").tokenizer(text).input_ids
    _write_as_stable_diffusion(folder / "tokenizer")
    shipped = load_pipeline(inspect(folder, prefer_half=False), "cpu", "float32").tokenizer
    assert shipped(text).input_ids == modern
    assert shipped.model_max_length == 77


def _teach(folder: Path, word: str) -> None:
    path = str(folder / "tokenizer.json")
    tokenizer = Tokenizer.from_file(path)
    tokenizer.add_tokens([word])
    tokenizer.save(path)


def _write_as_stable_diffusion(tokenizer: Path) -> None:
    modern = tokenizer / "tokenizer.json"
    model = json.loads(modern.read_text())["model"]
    modern.unlink()
    merges = "\n".join(" ".join(merge) for merge in model["merges"])
    start, end = (
        {
            "__type": "AddedToken",
            "content": token,
            "lstrip": False,
            "normalized": True,
            "rstrip": False,
            "single_word": False,
        }
        for token in ("<|startoftext|>", "<|endoftext|>")
    )
    config = {
        "add_prefix_space": False,
        "bos_token": start,
        "do_lower_case": True,
        "eos_token": end,
        "errors": "replace",
        "model_max_length": 77,
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "CLIPTokenizer",
        "unk_token": end,
    }
    (tokenizer / "vocab.json").write_text(json.dumps(model["vocab"]))
    (tokenizer / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(config))


def _file(part: Path) -> Path:
    return next(part.glob("*.safetensors"))


def _weights(part: Path) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in load_file(_file(part)).items()}


def _save_weights(part: Path, weights: dict[str, torch.Tensor]) -> None:
    save_file(weights, _file(part), metadata={"format": "pt"})


def _add_position_ids(part: Path, key: str) -> None:
    _save_weights(part, _weights(part) | {key: torch.arange(77).unsqueeze(0)})
