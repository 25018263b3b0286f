import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from gpu_consumer.render import device
from gpu_consumer.render.loader import load_pipeline
from gpu_consumer.render.model_folder import inspect
from gpu_consumer.startup import DeviceMissingError, ModelRefusedError


def test_loads_a_variant_only_folder(folder: Path) -> None:
    """A folder of half-precision weights loads on the CPU, in single precision."""
    for weights in list(folder.rglob("*.safetensors")):
        weights.rename(weights.with_suffix(".fp16.safetensors"))
    model = load_pipeline(inspect(folder, prefer_half=False), "cpu")
    assert str(model.dtype) == "torch.float32"


def test_foreign_tokenizer(folder: Path) -> None:
    """A tokenizer of another vocabulary than the text encoder's, which would render nonsense, is refused."""
    path = folder / "tokenizer/tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.add_tokens(["sks"])
    tokenizer.save(str(path))
    with pytest.raises(ModelRefusedError, match="don't belong together"):
        load_pipeline(inspect(folder, prefer_half=False), "cpu")


def test_empty_tokenizer_folder(folder: Path) -> None:
    """An empty tokenizer folder, which diffusers may load silently, is refused."""
    for file in (folder / "tokenizer").iterdir():
        file.unlink()
    with pytest.raises(ModelRefusedError):
        load_pipeline(inspect(folder, prefer_half=False), "cpu")


def test_truncated_weights(folder: Path) -> None:
    """Weights cut off by an interrupted copy are refused in one sentence that names the folder."""
    weights = folder / "vae/diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5000])
    with pytest.raises(ModelRefusedError, match=str(folder)) as refusal:
        load_pipeline(inspect(folder, prefer_half=False), "cpu")
    assert "\n" not in refusal.value.message


def test_cuda_is_never_replaced_by_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for CUDA on a machine without it, the worker refuses and names the setting for the CPU."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DeviceMissingError, match="DARKROOM_DEVICE=cpu"):
        device.confirm("cuda")


def test_cpu_when_asked_for() -> None:
    """The CPU is confirmed when it was asked for."""
    assert device.confirm("cpu") == "cpu"


def test_tokenizer_as_stable_diffusion_ships_it(folder: Path) -> None:
    """A tokenizer in SD 1.5's own files (vocab.json, merges.txt, special tokens as objects) reads text the same way."""
    text = "A lighthouse in fog, zebra 🙂"
    modern = load_pipeline(inspect(folder, prefer_half=False), "cpu").tokenizer(text).input_ids
    _write_as_stable_diffusion(folder / "tokenizer")
    shipped = load_pipeline(inspect(folder, prefer_half=False), "cpu").tokenizer
    assert shipped(text).input_ids == modern
    assert shipped.model_max_length == 77


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
