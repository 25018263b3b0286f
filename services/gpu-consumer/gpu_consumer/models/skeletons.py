"""Model folders without weights: the index, the configurations and the tokenizers."""

import json
import shutil
from pathlib import Path

from gpu_consumer.models import vocabularies
from gpu_consumer.models.architectures import Architecture
from gpu_consumer.models.model_folder import INDEX
from gpu_consumer.models.model_parts import parts_of
from gpu_consumer.models.vocabularies import Vocabulary
from gpu_consumer.startup import ModelIncompleteError

Tokenizers = dict[str, Vocabulary | Path]
"""Tokenizer -> a vocabulary to write, or a tokenizer's folder to copy."""


def choose_tokenizers(architecture: Architecture, config: Path | None, given: Path | None) -> Tokenizers:
    """Choose each tokenizer's source: `given`, or the folder `config`.

    Raises ModelIncompleteError, ModelDamagedError, and ModelRefusedError when the vocabulary does not match the text
    encoder.
    """
    return {name: _choose(architecture, name, config, given) for name in sorted(architecture.pad_tokens)}


def write(architecture: Architecture, tokenizers: Tokenizers, folder: Path) -> None:
    """Write everything except the weights into a new folder."""
    folder.mkdir(parents=True)
    _write_json(folder / INDEX, _index(architecture))
    for part in parts_of(architecture.pipeline, safety_checker=False):
        if part.name in tokenizers:
            _write_tokenizer(tokenizers[part.name], folder / part.name, architecture.pad_tokens[part.name])
        else:
            (folder / part.name).mkdir()
            _write_json(folder / part.name / part.needs[0], architecture.parts[part.name])


def _choose(architecture: Architecture, name: str, config: Path | None, given: Path | None) -> Vocabulary | Path:
    size = architecture.vocabulary_size(name)
    if given is not None:
        return vocabularies.read(given, size)
    if config is not None and (config / name / "tokenizer_config.json").is_file():
        vocabularies.read(config / name, size)
        return config / name
    raise ModelIncompleteError(f"A checkpoint contains no tokenizer; {vocabularies.WHERE_FROM}.")


def _write_tokenizer(tokenizer: Vocabulary | Path, folder: Path, pad_token: str) -> None:
    if isinstance(tokenizer, Vocabulary):
        vocabularies.write(tokenizer, folder, pad_token)
        return
    folder.mkdir()
    for file in sorted(tokenizer.iterdir()):
        if file.is_file() and file.suffix in (".json", ".txt"):
            shutil.copyfile(file, folder / file.name)


def _index(architecture: Architecture) -> dict[str, object]:
    """Return the index. Its classes are fixed here, so that a folder of configurations can't change what is loaded."""
    index: dict[str, object] = {"_class_name": architecture.pipeline}
    for part in parts_of(architecture.pipeline, safety_checker=False):
        library = "transformers" if part.name.startswith(("text_encoder", "tokenizer")) else "diffusers"
        name = part.classes[0] if part.classes else architecture.scheduler_class
        index[part.name] = [library, name]
    return index


def _write_json(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n")
