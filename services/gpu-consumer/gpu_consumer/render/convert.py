"""`python -m gpu_consumer.render.convert`: the conversion of a single-file checkpoint into a model folder's weights.

`models.conversion` starts this process, sends it one Conversion and reads its events. The parts are converted one after
another, so that memory holds the tensors of one part at a time. Then the manifest is written, and the folder is checked
and loaded as a worker does it.
"""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES
from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint, init_empty_weights
from safetensors import safe_open
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from gpu_consumer.models import manifest, model_folder
from gpu_consumer.models.conversion import Began, Conversion, Converted, Event, Failed
from gpu_consumer.models.model_parts import parts_of
from gpu_consumer.render import loader
from gpu_consumer.startup import (
    ModelDamagedError,
    ModelIncompleteError,
    ModelRefusedError,
    RenderProcessFailedError,
    StartupError,
)

Tensors = dict[str, torch.Tensor]
Report = Callable[[str], None]
_TEXT_ENCODERS = {"CLIPTextModel": CLIPTextModel, "CLIPTextModelWithProjection": CLIPTextModelWithProjection}
_NETWORKS = {"UNet2DConditionModel": UNet2DConditionModel, "AutoencoderKL": AutoencoderKL}
_OLD_CLIP = ("embeddings.", "encoder.", "final_layer_norm.")
"""Prefixes of a CLIP text encoder's state dict in checkpoints without `text_model.`, such as some of 1.x."""


def convert(conversion: Conversion, report: Report) -> Converted:
    """Write the weights and the manifest, then check and load the folder once. Raises StartupError."""
    for part in parts_of(conversion.pipeline, safety_checker=False):
        if part.stem is not None:
            report(f"converting the {part.name}")
            _convert_part(conversion, part.name, part.classes[0])
    folder = Path(conversion.folder)
    report("checking the model folder")
    model_folder.write_sums(folder)
    inspected = model_folder.inspect(folder, prefer_half=False, pipeline=conversion.pipeline)
    report("loading the pipeline once")
    loader.load_pipeline(inspected, "cpu", conversion.dtype)
    return Converted(inspected.revision, manifest.digest(folder / manifest.SUMS))


def _convert_part(conversion: Conversion, name: str, class_name: str) -> None:
    tensors = _read(conversion, name)
    if class_name in _TEXT_ENCODERS:
        model, named = _text_encoder(_TEXT_ENCODERS[class_name], conversion, name, tensors)
    else:
        model, named = _network(_NETWORKS[class_name], conversion, name, tensors)
    contiguous = {key: tensor.contiguous() for key, tensor in named.items()}
    missing = model.load_state_dict(contiguous, strict=False, assign=True).missing_keys
    if missing:
        raise _missing_tensors(conversion, name, missing)
    _check_finite(conversion, name, model)
    folder = Path(conversion.folder) / name
    model.save_pretrained(folder, safe_serialization=True)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes 0600, and the worker can run as another user


def _read(conversion: Conversion, name: str) -> Tensors:
    """Read the part's tensors under their names in the checkpoint; floating-point tensors are cast."""
    prefix, dtype = conversion.prefixes[name], getattr(torch, conversion.dtype)
    with safe_open(conversion.checkpoint, "pt") as file:
        names = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118 - it is not a dict
        return {key: _cast(file.get_tensor(key), dtype) for key in names}


def _cast(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _network(cls: Any, conversion: Conversion, name: str, tensors: Tensors) -> tuple[Any, Tensors]:
    """Return the UNet or the VAE without weights, and its state dict.

    Takes the steps of `from_single_file` separately: as a whole it reports any missing tensor as an error about meta
    tensors, without the tensor's name.
    """
    config = cls.load_config(conversion.folder, subfolder=name, local_files_only=True)
    with init_empty_weights():
        model = cls.from_config(config)
    rename = SINGLE_FILE_LOADABLE_CLASSES[cls.__name__]["checkpoint_mapping_fn"]
    try:
        return model, rename(checkpoint=tensors, config=dict(model.config))
    except KeyError as error:
        raise _missing_tensors(conversion, name, [error.args[0]]) from error


def _text_encoder(cls: Any, conversion: Conversion, name: str, tensors: Tensors) -> tuple[Any, Tensors]:
    """Return the text encoder without weights, and its state dict.

    A text encoder in OpenCLIP's format is recognised by the name of its token embedding.
    """
    config = cls.config_class.from_pretrained(conversion.folder, subfolder=name, local_files_only=True)
    with init_empty_weights():
        model = cls(config)
    prefix = conversion.prefixes[name]
    if f"{prefix}token_embedding.weight" in tensors:
        named = convert_open_clip_checkpoint(model, tensors, prefix=prefix)
    else:
        named = {_with_text_model(key.removeprefix(prefix)): tensor for key, tensor in tensors.items()}
    # Since transformers 5.6 CLIPTextModel has no `text_model` module; CLIPTextModelWithProjection still has one.
    return model, named if hasattr(model, "text_model") else _without_text_model(named)


def _with_text_model(name: str) -> str:
    return f"text_model.{name}" if name.startswith(_OLD_CLIP) else name


def _without_text_model(tensors: Tensors) -> Tensors:
    return {name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}


def _missing_tensors(conversion: Conversion, name: str, tensors: list[str]) -> ModelIncompleteError:
    return ModelIncompleteError(
        f"The checkpoint {conversion.checkpoint} lacks {len(tensors)} of the tensors of its {name}, such as "
        f"{min(tensors)}; a pruned model needs its own configuration (--config)."
    )


def _check_finite(conversion: Conversion, name: str, model: Any) -> None:
    """Raise ModelDamagedError unless all weights are finite. float16 overflows above 65,504; pictures turn black."""
    for key, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelDamagedError(
                f"The checkpoint {conversion.checkpoint} holds weights in its {name} ({key}) that are not finite in "
                f"{conversion.dtype}; try another --dtype. If that fails too, the file is damaged."
            )


def attempt(conversion: Conversion, report: Report) -> Event:
    """Convert and return Converted, or Failed for any error."""
    try:
        return convert(conversion, report)
    except StartupError as refusal:
        return Failed(refusal.code, refusal.message)
    except (MemoryError, torch.OutOfMemoryError) as error:
        return _out_of_memory(error)
    except Exception as error:
        # The libraries raise many types of errors about weights that they can't use.
        if "can't allocate memory" in str(error):
            return _out_of_memory(error)
        reason = " ".join(str(error).split())[:500].rstrip(".")
        message = f"The checkpoint {conversion.checkpoint} can't be converted: {type(error).__name__}: {reason}."
        return Failed(ModelRefusedError.code, message)


def _out_of_memory(error: BaseException) -> Failed:
    return Failed(RenderProcessFailedError.code, f"The conversion ran out of memory: {' '.join(str(error).split())}.")


def _end_with_input() -> None:
    """Exit when standard input ends, which it does when the parent closes it or dies."""
    while os.read(0, 1):
        pass
    os._exit(1)


def main() -> None:
    events = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # libraries print to standard output, which must carry events only
    conversion = msgspec.json.decode(sys.stdin.buffer.readline(), type=Conversion)
    threading.Thread(target=_end_with_input, name="input", daemon=True).start()

    def send(event: Event) -> None:
        events.write(msgspec.json.encode(event) + b"\n")

    send(attempt(conversion, lambda step: send(Began(step))))
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
