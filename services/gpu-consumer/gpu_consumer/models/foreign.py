"""Recognition of safetensors files that are not importable checkpoints, for a precise refusal."""

import re

import msgspec

from gpu_consumer.models.checkpoint import Checkpoint

CONV_IN = "model.diffusion_model.input_blocks.0.0.weight"
"""The first convolution of a UNet in the original layout: output channels, input channels, height, width."""

_FOR_A_MODEL = "it is an addition to a model; import a whole checkpoint"
_PART = "it is only a part of a model; import a whole checkpoint"
_NOT_SERVED = "only Stable Diffusion 1.x, 2.x and SDXL can be served"
_NEEDS_A_PICTURE = "it needs a picture as input, and only text-to-image models can be served"


class Foreign(msgspec.Struct, frozen=True):
    """The content of a refused file, and the reason."""

    what: str
    why: str


def _marks(*rows: tuple[str, str, str]) -> tuple[tuple[re.Pattern[str], Foreign], ...]:
    return tuple((re.compile(pattern, re.MULTILINE), Foreign(what, why)) for pattern, what, why in rows)


# Each pattern is searched for in the names of all tensors. The names come from diffusers' own recognition of files
# (diffusers/loaders/single_file_utils.py, CHECKPOINT_KEY_NAMES) and from the programs that write each type of file.
_IN_ANY_FILE = _marks(
    (r"^lora_(unet|te)|[._]lora[._]|\.lora_[AB]\.|\.hada_w|\.lokr_w|\.oft_(blocks|diag)", "a LoRA", _FOR_A_MODEL),
    (r"^control_model\.|^controlnet_|^input_hint_block\.|^lllite_", "a ControlNet", _FOR_A_MODEL),
    (r"^(ip_adapter|image_proj)\.", "an IP-Adapter", _FOR_A_MODEL),
    (r"^(adapter\.)?body\.\d+\.(in_conv|resnets)\b", "a T2I-Adapter", _FOR_A_MODEL),
    (r"motion_modules\.", "a motion module (AnimateDiff)", _FOR_A_MODEL),
    (r"^(emb_params|string_to_param.*|clip_[lg])$", "a textual inversion", _FOR_A_MODEL),
    (r"^edm_mean$", "Playground v2.5", _NOT_SERVED),
    (r"^edm_vpred\.", "a variant of SDXL with EDM noise levels", _NOT_SERVED),
    (r"\.time_(stack|mixer)\b", "a video model", _NOT_SERVED),
    (r"^(noise_augmentor|embedder\.model\.visual)\.", "Stable unCLIP", _NEEDS_A_PICTURE),
    (
        r"(^|\.)scaled_fp8$|\.(scale_weight|weight_scale)$|\.absmax$|\.quant_state\b",
        "quantized weights",
        "their scales would be lost; import the float16 version",
    ),
)
_WITHOUT_A_UNET = _marks(
    (r"joint_blocks\.\d", "Stable Diffusion 3", _NOT_SERVED),
    (r"distilled_guidance_layer\.", "Chroma", _NOT_SERVED),
    (r"double_blocks\.\d+\.img_attn|single_stream_modulation", "Flux", _NOT_SERVED),
    (r"transformer_blocks\.\d+\.ff_context", "Stable Diffusion 3 or Flux", _NOT_SERVED),
    (r"double_layers\.\d+\.attn\.w\dq", "AuraFlow", _NOT_SERVED),
    (r"head\.modulation$", "Wan", _NOT_SERVED),
    (r"cap_embedder\.", "Lumina or Z-Image", _NOT_SERVED),
    (r"\btxt_(in|norm)\.", "a model with a diffusion transformer", _NOT_SERVED),
    (r"patchify_proj\.|x_embedder\.|double_stream_blocks\.", "a model with a diffusion transformer", _NOT_SERVED),
    (r"clip_txt_mapper\.|\.channelwise\.", "Stable Cascade", _NOT_SERVED),
    (r"^model\.\d+\.sub\.|^body\.\d+\.rdb\d", "an upscaler", _NOT_SERVED),
    (r"^(unet\.)?(down|up)_blocks\.\d+\.(resnets|attentions)\.|^input_blocks\.0\.0\.", "a UNet", _PART),
    (r"^(first_stage_model\.|vae\.)?(encoder|decoder)\.(conv_in|mid_block|mid|down|up)\b", "a VAE", _PART),
    (
        r"text_model\.(encoder|embeddings)\.|resblocks\.\d|token_embedding\.|^(model\.)?embed_tokens\."
        r"|^encoder\.block\.\d+\.layer\.|^(model\.)?layers\.\d+\.self_attn",
        "a text encoder",
        _PART,
    ),
)
_INPUT_CHANNELS = {
    9: "an inpainting model",
    8: "an image-editing model (InstructPix2Pix)",
    7: "an upscaler (x4)",
    5: "a depth-to-image model",
}
_TEXT_TO_IMAGE_CHANNELS = 4


def find(checkpoint: Checkpoint) -> Foreign | None:
    """Return what the file contains instead of a text-to-image UNet in the original layout, or None if it has one."""
    names = "\n".join(checkpoint.tensors)
    for pattern, foreign in _IN_ANY_FILE:
        if pattern.search(names):
            return foreign
    if CONV_IN in checkpoint.tensors:
        return _by_input(checkpoint.tensors[CONV_IN].shape)
    for pattern, foreign in _WITHOUT_A_UNET:
        if pattern.search(names):
            return foreign
    return Foreign("nothing that is recognised", _NOT_SERVED)


def _by_input(shape: tuple[int, ...]) -> Foreign | None:
    channels = shape[1] if len(shape) == 4 else 0
    if channels == _TEXT_TO_IMAGE_CHANNELS:
        return None
    return Foreign(_INPUT_CHANNELS.get(channels, f"a model with {channels} input channels"), _NEEDS_A_PICTURE)
