"""Recognition of checkpoint files by the names and shapes of their tensors."""

from pathlib import Path

import pytest

from gpu_consumer.models import checkpoint
from gpu_consumer.models.families import Family, declared_prediction, has_zero_terminal_snr, prefixes, recognise
from gpu_consumer.startup import ExitCode, StartupError
from tests.support.safetensors_headers import write_header

Shapes = dict[str, tuple[int, ...]]

CONV_IN = "model.diffusion_model.input_blocks.0.0.weight"
UNET: Shapes = {CONV_IN: (8, 4, 3, 3)}
VAE: Shapes = {"first_stage_model.decoder.conv_in.weight": (8,)}
CLIP: Shapes = {"cond_stage_model.transformer.text_model.embeddings.position_embedding.weight": (77, 8)}
OPEN_CLIP: Shapes = {"cond_stage_model.model.token_embedding.weight": (9, 8)}
XL_CLIP: Shapes = {"conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight": (9, 8)}
XL_OPEN_CLIP: Shapes = {"conditioner.embedders.1.model.token_embedding.weight": (9, 8)}
SD1 = UNET | VAE | CLIP
SDXL = UNET | VAE | XL_CLIP | XL_OPEN_CLIP


def read(folder: Path, shapes: Shapes, metadata: dict[str, str] | None = None) -> checkpoint.Checkpoint:
    return checkpoint.read(write_header(folder / "x.safetensors", shapes, metadata))


def with_input(channels: int) -> Shapes:
    return SD1 | {CONV_IN: (8, channels, 3, 3)}


@pytest.mark.parametrize(
    ("shapes", "family"),
    [
        (SD1, Family.SD1),
        (UNET | CLIP | {"vae.decoder.conv_in.weight": (8,)}, Family.SD1),
        (UNET | VAE | OPEN_CLIP, Family.SD2),
        (SDXL, Family.SDXL),
    ],
)
def test_families(tmp_path: Path, shapes: Shapes, family: Family) -> None:
    """Each family is recognised by its text encoders, and each part's tensors by their prefix."""
    found = read(tmp_path, shapes)
    assert recognise(found) is family
    starts = prefixes(family, found)
    assert {name for name in found.tensors for start in starts.values() if name.startswith(start)} == set(shapes)


CLASS, INCOMPLETE = ExitCode.MODEL_CLASS, ExitCode.MODEL_INCOMPLETE
REFUSED: dict[str, tuple[Shapes, ExitCode, str]] = {
    "LoRA of kohya": ({"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": (4, 8)}, CLASS, "a LoRA"),
    "LoRA of diffusers": ({"unet.mid_block.attentions.0.to_q.lora.down.weight": (4, 8)}, CLASS, "a LoRA"),
    "LoRA of peft": ({"transformer.single_blocks.0.attn.to_q.lora_A.weight": (4, 8)}, CLASS, "a LoRA"),
    "LyCORIS": ({"lycoris_blocks.0.hada_w1_a": (4, 8)}, CLASS, "a LoRA"),
    "VAE": ({"encoder.conv_in.weight": (8, 3, 3, 3), "decoder.mid.block_1.norm1.weight": (8,)}, CLASS, "a VAE"),
    "VAE under its prefix": (VAE, CLASS, "a VAE"),
    "VAE of diffusers": ({"decoder.mid_block.resnets.0.norm1.weight": (8,)}, CLASS, "a VAE"),
    "ControlNet": ({"control_model.input_hint_block.0.weight": (8,)}, CLASS, "a ControlNet"),
    "ControlNet of diffusers": (
        {"controlnet_cond_embedding.conv_in.weight": (8,), "down_blocks.0.resnets.0.norm1.weight": (8,)},
        CLASS,
        "a ControlNet",
    ),
    "CLIP": ({"text_model.encoder.layers.0.layer_norm1.weight": (8,)}, CLASS, "a text encoder"),
    "OpenCLIP": ({"transformer.resblocks.0.ln_1.weight": (8,)}, CLASS, "a text encoder"),
    "T5": ({"encoder.block.0.layer.0.SelfAttention.q.weight": (8,)}, CLASS, "a text encoder"),
    "UNet of diffusers": ({"down_blocks.0.resnets.0.norm1.weight": (8,)}, CLASS, "a UNet"),
    "UNet without prefix": ({"input_blocks.0.0.weight": (8, 4, 3, 3)}, CLASS, "a UNet"),
    "UNet and VAE": (UNET | VAE, INCOMPLETE, "without its text encoders"),
    "no VAE": (UNET | CLIP, INCOMPLETE, "contains no VAE"),
    "textual inversion": ({"emb_params": (4, 8)}, CLASS, "a textual inversion"),
    "textual inversion of SDXL": ({"clip_l": (4, 8), "clip_g": (4, 8)}, CLASS, "a textual inversion"),
    "IP-Adapter": ({"image_proj.proj.weight": (8,)}, CLASS, "an IP-Adapter"),
    "motion module": ({"down_blocks.0.motion_modules.0.x.weight": (8,)}, CLASS, "a motion module"),
    "refiner": (
        UNET | VAE | {"conditioner.embedders.0.model.token_embedding.weight": (9, 8)},
        CLASS,
        "the SDXL refiner",
    ),
    "inpainting": (with_input(9), CLASS, "an inpainting model"),
    "InstructPix2Pix": (with_input(8), CLASS, "an image-editing model"),
    "x4 upscaler": (with_input(7), CLASS, "an upscaler"),
    "depth": (with_input(5), CLASS, "a depth-to-image model"),
    "other channels": (with_input(6), CLASS, "6 input channels"),
    "unCLIP": (UNET | VAE | OPEN_CLIP | {"embedder.model.visual.conv1.weight": (8,)}, CLASS, "Stable unCLIP"),
    "Playground": (SDXL | {"edm_mean": (4,)}, CLASS, "Playground v2.5"),
    "EDM": (SDXL | {"edm_vpred.sigma_max": ()}, CLASS, "EDM"),
    "SVD": (
        UNET | VAE | {"model.diffusion_model.input_blocks.1.0.time_stack.in_layers.0.weight": (8,)},
        CLASS,
        "a video model",
    ),
    "SD 3": ({"model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight": (8,)}, CLASS, "Stable Diffusion 3"),
    "Flux": ({"model.diffusion_model.double_blocks.0.img_attn.qkv.weight": (8,)}, CLASS, "Flux"),
    "Flux alone": ({"double_blocks.0.img_attn.norm.key_norm.scale": (8,)}, CLASS, "Flux"),
    "AuraFlow": ({"model.double_layers.0.attn.w2q.weight": (8,)}, CLASS, "AuraFlow"),
    "Cascade": ({"clip_txt_mapper.weight": (8,)}, CLASS, "Stable Cascade"),
    "ESRGAN": ({"model.1.sub.0.RDB1.conv1.0.weight": (8,)}, CLASS, "an upscaler"),
    "scaled float8": (SDXL | {"scaled_fp8": (0,)}, CLASS, "quantized weights"),
    "4 bits": (SDXL | {f"{CONV_IN}.absmax": (8,)}, CLASS, "quantized weights"),
    "something else": ({"layer.weight": (8,)}, CLASS, "nothing that is recognised"),
    "nothing": ({}, CLASS, "nothing that is recognised"),
}


@pytest.mark.parametrize(("shapes", "code", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(tmp_path: Path, shapes: Shapes, code: ExitCode, words: str) -> None:
    """A file that is not a complete text-to-image checkpoint is refused in one sentence that names its content."""
    with pytest.raises(StartupError) as refused:
        recognise(read(tmp_path, shapes))
    assert (refused.value.exit_code, words in refused.value.message) == (code, True), refused.value.message
    assert str(tmp_path) in refused.value.message
    assert "\n" not in refused.value.message


def test_what_a_file_says_of_its_prediction(tmp_path: Path) -> None:
    """Declarations of the prediction type and the noise schedule are read; a file without one declares none."""
    assert declared_prediction(read(tmp_path, SDXL)) is None
    assert declared_prediction(read(tmp_path, SDXL | {"v_pred": (0,)})) == "v_prediction"
    assert declared_prediction(read(tmp_path, SD1, {"modelspec.prediction_type": "v"})) == "v_prediction"
    assert declared_prediction(read(tmp_path, SD1, {"modelspec.prediction_type": "epsilon"})) == "epsilon"
    assert declared_prediction(read(tmp_path, SD1, {"modelspec.prediction_type": "rectified"})) is None
    assert has_zero_terminal_snr(read(tmp_path, SDXL | {"v_pred": (0,), "ztsnr": (0,)}))
    assert not has_zero_terminal_snr(read(tmp_path, SDXL))
