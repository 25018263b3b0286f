"""Single-file checkpoints in the original layout, made of model folders: the conversion's names turned round."""

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

Tensors = dict[str, torch.Tensor]
Names = list[tuple[str, str]]

_UNET: Names = [
    (r"^time_embedding\.linear_1\.", "time_embed.0."),
    (r"^time_embedding\.linear_2\.", "time_embed.2."),
    (r"^conv_in\.", "input_blocks.0.0."),
    (r"^conv_norm_out\.", "out.0."),
    (r"^conv_out\.", "out.2."),
    (r"^add_embedding\.linear_1\.", "label_emb.0.0."),
    (r"^add_embedding\.linear_2\.", "label_emb.0.2."),
    (r"^mid_block\.attentions\.0\.", "middle_block.1."),
    (r"^mid_block\.resnets\.0\.", "middle_block.0."),
    (r"^mid_block\.resnets\.1\.", "middle_block.2."),
]
_RESNET: Names = [
    (r"\.norm1\.", ".in_layers.0."),
    (r"\.conv1\.", ".in_layers.2."),
    (r"\.norm2\.", ".out_layers.0."),
    (r"\.conv2\.", ".out_layers.3."),
    (r"\.time_emb_proj\.", ".emb_layers.1."),
    (r"\.conv_shortcut\.", ".skip_connection."),
]
_VAE: Names = [
    (r"\.conv_norm_out\.", ".norm_out."),
    (r"\.conv_shortcut\.", ".nin_shortcut."),
    (r"\.down_blocks\.(\d+)\.resnets\.", r".down.\1.block."),
    (r"\.down_blocks\.(\d+)\.downsamplers\.0\.", r".down.\1.downsample."),
    (r"\.up\.(\d+)\.resnets\.", r".up.\1.block."),
    (r"\.up\.(\d+)\.upsamplers\.0\.", r".up.\1.upsample."),
    (r"\.mid_block\.resnets\.0\.", ".mid.block_1."),
    (r"\.mid_block\.resnets\.1\.", ".mid.block_2."),
    (r"\.mid_block\.attentions\.0\.group_norm\.", ".mid.attn_1.norm."),
    (r"\.mid_block\.attentions\.0\.to_out\.0\.", ".mid.attn_1.proj_out."),
    (r"\.mid_block\.attentions\.0\.to_([qkv])\.", r".mid.attn_1.\1."),
]
_OPEN_CLIP: Names = [
    (r"^text_model\.", ""),
    (r"^embeddings\.token_embedding\.weight$", "token_embedding.weight"),
    (r"^embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^final_layer_norm\.", "ln_final."),
    (r"^encoder\.layers\.", "transformer.resblocks."),
    (r"\.layer_norm(\d)\.", r".ln_\1."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
    (r"\.self_attn\.", ".attn."),
    (r"^text_projection\.weight$", "text_projection"),
]


def checkpoint_of(folder: Path) -> Tensors:
    """Write the folder's model as a single-file checkpoint, with the extra tensors of such files."""
    tensors = _prefixed("model.diffusion_model.", _unet(folder / "unet"))
    tensors |= _prefixed("first_stage_model.", _vae(folder / "vae"))
    if (folder / "text_encoder_2").is_dir():
        tensors |= _prefixed("conditioner.embedders.0.transformer.", _clip(folder / "text_encoder"))
        tensors |= _prefixed("conditioner.embedders.1.model.", _open_clip(folder / "text_encoder_2"))
        return tensors | {"denoiser.sigmas": torch.ones(1000)}
    if _config(folder / "text_encoder")["hidden_act"] == "gelu":
        tensors |= _prefixed("cond_stage_model.model.", _open_clip(folder / "text_encoder"))
    else:
        tensors |= _prefixed("cond_stage_model.transformer.", _clip(folder / "text_encoder"))
    return tensors | {"alphas_cumprod": torch.ones(1000), "model_ema.decay": torch.tensor(0.9999)}


def write_checkpoint(folder: Path, file: Path, metadata: dict[str, str] | None = None) -> Path:
    """Write the folder's model as a single file."""
    save_file({name: tensor.contiguous() for name, tensor in checkpoint_of(folder).items()}, file, metadata)
    return file


def write_configuration(folder: Path, copy: Path) -> Path:
    """Copy the folder without its weights, as `--config` takes it."""
    for file in folder.rglob("*"):
        if file.suffix in (".json", ".txt"):
            (copy / file.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            (copy / file.relative_to(folder)).write_bytes(file.read_bytes())
    return copy


def original_unet_names(names: list[str], layers_per_block: int, attending: set[int]) -> list[str]:
    """diffusers' names of a UNet's tensors -> the original ones. `attending`: the up blocks with attention."""
    return [_unet_name(name, layers_per_block, attending) for name in names]


def _unet(folder: Path) -> Tensors:
    config, tensors = _config(folder), load_file(folder / "diffusion_pytorch_model.safetensors")
    attending = {index for index, name in enumerate(config["up_block_types"]) if name.startswith("CrossAttn")}
    names = original_unet_names(list(tensors), config["layers_per_block"], attending)
    return dict(zip(names, tensors.values(), strict=True))


def _unet_name(name: str, layers: int, attending: set[int]) -> str:
    whole = re.match(r"^(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)$", name)
    if whole is None:
        renamed = _renamed(name, _UNET)
        return _renamed(renamed, _RESNET) if re.match(r"middle_block\.[02]\.", renamed) else renamed
    side, block, kind, layer, rest = whole[1], int(whole[2]), whole[3], int(whole[4]), whole[5]
    place = block * (layers + 1) + layer + (1 if side == "down" else 0)
    outer = "input_blocks" if side == "down" else "output_blocks"
    match kind:
        case "resnets":
            return f"{outer}.{place}.0" + _renamed(f".{rest}", _RESNET)
        case "attentions":
            return f"{outer}.{place}.1.{rest}"
        case "downsamplers":
            return f"{outer}.{(block + 1) * (layers + 1)}.0.{rest.replace('conv', 'op')}"
        case _:
            return f"{outer}.{place + layers}.{2 if block in attending else 1}.{rest}"


def _vae(folder: Path) -> Tensors:
    last = len(_config(folder)["block_out_channels"]) - 1
    tensors = {}
    for name, tensor in load_file(folder / "diffusion_pytorch_model.safetensors").items():
        turned = re.sub(r"\.up_blocks\.(\d+)\.", lambda block: f".up.{last - int(block[1])}.", name)
        renamed = _renamed(turned, _VAE)
        is_attention = re.search(r"\.attn_1\.(q|k|v|proj_out)\.weight$", renamed)
        tensors[renamed] = tensor[:, :, None, None] if is_attention else tensor  # 1x1 convolutions, as first published
    return tensors


def _clip(folder: Path) -> Tensors:
    tensors = load_file(folder / "model.safetensors")
    named = {f"text_model.{name.removeprefix('text_model.')}": tensor for name, tensor in tensors.items()}
    length = _config(folder)["max_position_embeddings"]
    return named | {"text_model.embeddings.position_ids": torch.arange(length)[None]}


def _open_clip(folder: Path) -> Tensors:
    tensors = {_renamed(name, _OPEN_CLIP): tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    for name in [name for name in tensors if ".q_proj." in name]:
        parts = [tensors.pop(name.replace(".q_proj.", f".{letter}_proj.")) for letter in "qkv"]
        tensors[re.sub(r"q_proj\.(weight|bias)", r"in_proj_\1", name)] = torch.cat(parts)
    width = tensors["ln_final.weight"].shape[0]
    projection = tensors.pop("text_projection", torch.eye(width))
    return tensors | {"text_projection": projection.T, "logit_scale": torch.tensor(4.6)}


def _renamed(name: str, names: Names) -> str:
    for pattern, original in names:
        name = re.sub(pattern, original, name)
    return name


def _prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _config(folder: Path) -> Any:
    return json.loads((folder / "config.json").read_text())
