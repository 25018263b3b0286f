from pathlib import Path
from typing import Any

import pytest
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import init_empty_weights
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from gpu_consumer.models import architectures, checkpoint
from gpu_consumer.models.architectures import Architecture
from gpu_consumer.models.families import Family
from gpu_consumer.startup import ExitCode, StartupError
from tests.support.safetensors_headers import write_header
from tests.support.single_file import original_unet_names, write_configuration

VAE_PARAMETERS = 83_653_863
CLIP_L_PARAMETERS = 123_060_480
PUBLISHED: dict[Family, dict[str, int]] = {
    Family.SD1: {"unet": 859_520_964, "vae": VAE_PARAMETERS, "text_encoder": CLIP_L_PARAMETERS},
    Family.SD2: {"unet": 865_910_724, "vae": VAE_PARAMETERS, "text_encoder": 340_387_840},
    Family.SDXL: {
        "unet": 2_567_463_684,
        "vae": VAE_PARAMETERS,
        "text_encoder": CLIP_L_PARAMETERS,
        "text_encoder_2": 694_659_840,
    },
}
"""The published numbers of parameters."""


def empty(architecture: Architecture, part: str) -> Any:
    """Build the part at full size without allocating memory."""
    numbers = architecture.parts[part]
    with init_empty_weights():
        match part:
            case "unet":
                return UNet2DConditionModel(**numbers)
            case "vae":
                return AutoencoderKL(**numbers)
            case "text_encoder":
                return CLIPTextModel(CLIPTextConfig(**numbers))
            case _:
                return CLIPTextModelWithProjection(CLIPTextConfig(**numbers))


@pytest.mark.parametrize("family", Family)
def test_published_numbers(family: Family) -> None:
    """The published configurations describe models with exactly the published numbers of parameters."""
    architecture = architectures.published(family)
    counted = {
        part: sum(weights.numel() for weights in empty(architecture, part).parameters()) for part in PUBLISHED[family]
    }
    assert counted == PUBLISHED[family]
    assert architecture.pipeline == family.pipeline
    assert architecture.source
    assert {architecture.vocabulary_size(tokenizer) for tokenizer in architecture.pad_tokens} == {49_408}


def test_sizes_go_by_what_is_predicted() -> None:
    """Stable Diffusion 2.x renders 768 pixels with v-prediction and 512 with epsilon prediction."""
    velocity, noise = (architectures.published(Family.SD2, kind) for kind in ("v_prediction", "epsilon"))
    assert (velocity.picture_size, velocity.prediction_type) == (768, "v_prediction")
    assert (noise.picture_size, noise.prediction_type) == (512, "epsilon")
    assert [architectures.published(family).picture_size for family in (Family.SD1, Family.SDXL)] == [512, 1024]


def full_size(family: Family) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of the family's UNet in the original layout."""
    unet = empty(architectures.published(family), "unet")
    shapes = {name: tuple(weights.shape) for name, weights in unet.state_dict().items()}
    attending = {0, 1} if family is Family.SDXL else {1, 2, 3}
    names = original_unet_names(list(shapes), 2, attending)
    return {f"model.diffusion_model.{name}": shape for name, shape in zip(names, shapes.values(), strict=True)}


def test_header_of_a_full_size_model_fits(tmp_path: Path) -> None:
    """A checkpoint with the names and shapes of SDXL matches the published configuration."""
    shapes = full_size(Family.SDXL)
    shapes |= {"first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3)}
    shapes |= {"conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight": (49_408, 768)}
    shapes |= {"conditioner.embedders.1.model.token_embedding.weight": (49_408, 1280)}
    found = checkpoint.read(write_header(tmp_path / "xl.safetensors", shapes))
    architectures.check_fits(found, Family.SDXL, architectures.published(Family.SDXL))


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("model.diffusion_model.input_blocks.0.0.weight", (256, 4, 3, 3), "UNet channels 256 instead of 320"),
        (
            "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
            (320, 1280),
            "cross-attention width 1280 instead of 768",
        ),
        (
            "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
            (49_409, 768),
            "text_encoder vocabulary 49409 instead of 49408",
        ),
        ("cond_stage_model.transformer.embeddings.token_embedding.weight", (49_408, 512), "text_encoder width 512"),
    ],
)
def test_other_measures_are_refused(tmp_path: Path, name: str, shape: tuple[int, ...], words: str) -> None:
    """A checkpoint with other dimensions is refused by its header, and the message names the option that helps."""
    shapes = {"first_stage_model.x": (1,), name: shape}
    found = checkpoint.read(write_header(tmp_path / "x.safetensors", shapes))
    with pytest.raises(StartupError, match=f"{words}.* --config") as refused:
        architectures.check_fits(found, Family.SD1, architectures.published(Family.SD1))
    assert refused.value.exit_code == ExitCode.MODEL_REFUSED


def test_folder_of_configurations(tiny_sd2_model: Path, tmp_path: Path) -> None:
    """A folder's configurations are used, without weights; of its classes, only the scheduler's is."""
    folder = write_configuration(tiny_sd2_model, tmp_path / "configuration")
    found = architectures.from_folder(folder, Family.SD2)
    assert found.parts["unet"]["block_out_channels"] == [16, 32]
    assert (found.scheduler_class, found.prediction_type, found.picture_size) == ("DDIMScheduler", "v_prediction", 64)
    assert not [key for part in found.parts.values() for key in part if key.startswith("_")]


def _of_another_class(folder: Path) -> None:
    (folder / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')


def _without_unet(folder: Path) -> None:
    (folder / "unet/config.json").unlink()


def _without_numbers(folder: Path) -> None:
    (folder / "unet/config.json").write_text("{}")


def _not_an_object(folder: Path) -> None:
    (folder / "vae/config.json").write_text("[]")


def _scheduler_from_a_file(folder: Path) -> None:
    index = (folder / "model_index.json").read_text()
    (folder / "model_index.json").write_text(index.replace('"DDIMScheduler"', '"os.system"'))


SPOILT: dict[str, tuple[Any, ExitCode, str]] = {
    "class": (_of_another_class, ExitCode.MODEL_CLASS, "is for a FluxPipeline"),
    "part": (_without_unet, ExitCode.MODEL_INCOMPLETE, "unet/config.json can't be read"),
    "numbers": (_without_numbers, ExitCode.MODEL_DAMAGED, "lacks a required value"),
    "object": (_not_an_object, ExitCode.MODEL_DAMAGED, "not a JSON object"),
    "scheduler": (_scheduler_from_a_file, ExitCode.MODEL_INCOMPLETE, "names no scheduler"),
}


@pytest.mark.parametrize(("spoil", "code", "words"), SPOILT.values(), ids=SPOILT.keys())
def test_bad_configurations(tiny_sd2_model: Path, tmp_path: Path, spoil: Any, code: ExitCode, words: str) -> None:
    """A folder of configurations that does not match the checkpoint is refused in one sentence."""
    folder = write_configuration(tiny_sd2_model, tmp_path / "configuration")
    spoil(folder)
    with pytest.raises(StartupError, match=words) as refused:
        architectures.from_folder(folder, Family.SD2)
    assert refused.value.exit_code == code
