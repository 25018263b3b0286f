"""`python -m gpu_consumer.render.convert`: turns a single-file checkpoint into the weights of a model folder.

`models.conversion` starts it, sends it one Conversion and reads its events. Each part is read, renamed and cast, saved
and let go before the next, so that memory holds one part at a time. Then the folder is sealed by its manifest, looked
over and loaded, all as a worker will.
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
"""How the names of a CLIP text encoder begin where a checkpoint leaves out `text_model.`, as some of 1.x do."""


def convert(conversion: Conversion, report: Report) -> Converted:
    """Write the weights, seal the folder and load it once. Raises StartupError."""
    for part in parts_of(conversion.pipeline, safety_checker=False):
        if part.stem is not None:
            report(f"converting the {part.name}")
            _convert_part(conversion, part.name, part.classes[0])
    folder = Path(conversion.folder)
    report("checking what was written")
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
    lacking = model.load_state_dict(contiguous, strict=False, assign=True).missing_keys
    if lacking:
        raise _lacking(conversion, name, lacking)
    _check_finite(conversion, name, model)
    folder = Path(conversion.folder) / name
    model.save_pretrained(folder, safe_serialization=True)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes 0600, and the worker may run as another user


def _read(conversion: Conversion, name: str) -> Tensors:
    """The part's tensors, numbers with fractions cast, under the names that they have in the checkpoint."""
    prefix, dtype = conversion.prefixes[name], getattr(torch, conversion.dtype)
    with safe_open(conversion.checkpoint, "pt") as file:
        names = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118 - it is not a dict
        return {key: _cast(file.get_tensor(key), dtype) for key in names}


def _cast(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _network(cls: Any, conversion: Conversion, name: str, tensors: Tensors) -> tuple[Any, Tensors]:
    """The UNet or the VAE without weights, and its tensors under its own names.

    With the steps of `from_single_file` taken one by one: as a whole it fails over a tensor that is not there by
    telling of meta tensors, whatever is missing.
    """
    config = cls.load_config(conversion.folder, subfolder=name, local_files_only=True)
    with init_empty_weights():
        model = cls.from_config(config)
    rename = SINGLE_FILE_LOADABLE_CLASSES[cls.__name__]["checkpoint_mapping_fn"]
    try:
        return model, rename(checkpoint=tensors, config=dict(model.config))
    except KeyError as error:
        raise _lacking(conversion, name, [error.args[0]]) from error


def _text_encoder(cls: Any, conversion: Conversion, name: str, tensors: Tensors) -> tuple[Any, Tensors]:
    """As above. Text encoders of OpenCLIP keep their names in the checkpoint, and are told by them."""
    config = cls.config_class.from_pretrained(conversion.folder, subfolder=name, local_files_only=True)
    with init_empty_weights():
        model = cls(config)
    prefix = conversion.prefixes[name]
    if f"{prefix}token_embedding.weight" in tensors:
        named = convert_open_clip_checkpoint(model, tensors, prefix=prefix)
    else:
        named = {_with_text_model(key.removeprefix(prefix)): tensor for key, tensor in tensors.items()}
    # transformers has this class without the outer module since 5.6, and the one with a projection still with it.
    return model, named if hasattr(model, "text_model") else _without_text_model(named)


def _with_text_model(name: str) -> str:
    return f"text_model.{name}" if name.startswith(_OLD_CLIP) else name


def _without_text_model(tensors: Tensors) -> Tensors:
    return {name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}


def _lacking(conversion: Conversion, name: str, tensors: list[str]) -> ModelIncompleteError:
    return ModelIncompleteError(
        f"The checkpoint {conversion.checkpoint} lacks {len(tensors)} of the tensors of its {name}, such as "
        f"{min(tensors)}; a pruned model needs its own configuration (--config)."
    )


def _check_finite(conversion: Conversion, name: str, model: Any) -> None:
    """Half precision ends at 65,504: what is larger there becomes infinite, and pictures black."""
    for key, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelDamagedError(
                f"The checkpoint {conversion.checkpoint} holds numbers in its {name} ({key}) that are not finite in "
                f"{conversion.dtype}; if another --dtype does not help, the file is damaged."
            )


def attempt(conversion: Conversion, report: Report) -> Event:
    """Convert; what goes wrong is an answer."""
    try:
        return convert(conversion, report)
    except StartupError as refusal:
        return Failed(refusal.code, refusal.message)
    except (MemoryError, torch.OutOfMemoryError) as error:
        return _out_of_memory(error)
    except Exception as error:
        # Whatever the libraries raise about weights that they can't use, the answer is the same.
        if "can't allocate memory" in str(error):
            return _out_of_memory(error)
        reason = " ".join(str(error).split())[:500].rstrip(".")
        message = f"The checkpoint {conversion.checkpoint} can't be converted: {type(error).__name__}: {reason}."
        return Failed(ModelRefusedError.code, message)


def _out_of_memory(error: BaseException) -> Failed:
    return Failed(RenderProcessFailedError.code, f"The conversion ran out of memory: {' '.join(str(error).split())}.")


def _end_with_input() -> None:
    """Runs until the command that started this process closes its end or dies, which ends this process too."""
    while os.read(0, 1):
        pass
    os._exit(1)


def main() -> None:
    events = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what libraries print is not an event
    conversion = msgspec.json.decode(sys.stdin.buffer.readline(), type=Conversion)
    threading.Thread(target=_end_with_input, name="input", daemon=True).start()

    def send(event: Event) -> None:
        events.write(msgspec.json.encode(event) + b"\n")

    send(attempt(conversion, lambda step: send(Began(step))))
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
