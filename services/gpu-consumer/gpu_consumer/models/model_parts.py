"""The parts of each pipeline class: their folders, classes and files. Imports no torch."""

import re

import msgspec

from darkroom_contracts.models import PipelineClass

LIBRARIES = frozenset({"diffusers", "transformers", "stable_diffusion"})
"""Libraries that a model's index can take classes from; the loader would import any library that it names."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A component of a pipeline, in a folder of its own."""

    name: str
    classes: tuple[str, ...]
    """Class names allowed in the index; () allows any name that ends in the part's own name."""
    needs: tuple[str, ...]
    """Required files."""
    either: tuple[tuple[str, ...], ...] = ()
    """Alternative groups of files, one of which is required."""
    stem: str | None = None
    """Prefix of the names of the weights; None for a part without weights."""

    def allows(self, class_name: str) -> bool:
        """Return whether the index may name this class for the part."""
        return class_name in self.classes if self.classes else class_name.lower().endswith(self.name)

    def missing_from(self, present: set[str]) -> list[str]:
        """Return the required files that are not among those present."""
        complete = (group for group in self.either if present.issuperset(group))
        group = next(complete, self.either[0] if self.either else ())
        return [name for name in self.needs + group if name not in present]

    def is_weights(self, file_name: str, variant: str | None) -> bool:
        """Return whether the loader would read this file as weights of the variant, whole or as a shard."""
        if self.stem is None:
            return False
        shard = r"(-\d{5}-of-\d{5})?"
        half = rf"\.{variant}" if variant else ""
        return re.fullmatch(rf"{self.stem}({half}{shard}|{shard}{half})\.safetensors", file_name) is not None


def _text_encoder(name: str, class_name: str) -> Part:
    return Part(name=name, classes=(class_name,), needs=("config.json",), stem="model")


def _tokenizer(name: str) -> Part:
    return Part(
        name=name,
        classes=("CLIPTokenizer", "CLIPTokenizerFast"),
        needs=("tokenizer_config.json",),
        either=(("vocab.json", "merges.txt"), ("tokenizer.json",)),
    )


def _network(name: str, class_name: str) -> Part:
    return Part(name=name, classes=(class_name,), needs=("config.json",), stem="diffusion_pytorch_model")


_COMMON = (
    Part(name="scheduler", classes=(), needs=("scheduler_config.json",)),
    _text_encoder("text_encoder", "CLIPTextModel"),
    _tokenizer("tokenizer"),
    _network("unet", "UNet2DConditionModel"),
    _network("vae", "AutoencoderKL"),
)
_PARTS: dict[PipelineClass, tuple[Part, ...]] = {
    "StableDiffusionPipeline": _COMMON,
    "StableDiffusionXLPipeline": (
        *_COMMON,
        _text_encoder("text_encoder_2", "CLIPTextModelWithProjection"),
        _tokenizer("tokenizer_2"),
    ),
}
_CHECKER = (
    Part(
        name="safety_checker",
        classes=("StableDiffusionSafetyChecker",),
        needs=("config.json",),
        stem="model",
    ),
    Part(
        name="feature_extractor",
        classes=("CLIPImageProcessor", "CLIPImageProcessorPil", "CLIPFeatureExtractor"),
        needs=("preprocessor_config.json",),
    ),
)


def parts_of(pipeline: PipelineClass, *, safety_checker: bool) -> tuple[Part, ...]:
    """Return the components to load."""
    return _PARTS[pipeline] + (_CHECKER if safety_checker else ())
