"""CLIP's vocabulary, which checkpoints do not contain: read from a tokenizer's folder or from CLIP's published list of
merges, and written as a tokenizer."""

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import msgspec

from gpu_consumer.startup import ModelDamagedError, ModelIncompleteError, ModelRefusedError

BPE_FILE = "bpe_simple_vocab_16e6.txt.gz"
"""File name of CLIP's list of merges, as published by OpenAI (MIT licence)."""
START, END, END_OF_WORD = "<|startoftext|>", "<|endoftext|>", "</w>"
MAX_TOKENS = 77
_BYTES = 256
_MAX_BPE_BYTES = 64 * 1024 * 1024

WHERE_FROM = (
    "pass as --tokenizer the folder of any Stable Diffusion model in diffusers' layout, its tokenizer folder, or the "
    "wheel from `pip download --no-deps open-clip-torch==3.3.0` (MIT licence), which contains CLIP's vocabulary"
)


class Vocabulary(msgspec.Struct, frozen=True):
    """The data of a CLIP tokenizer."""

    tokens: dict[str, int]
    merges: list[str]
    """Pairs separated by a space, most frequent first."""


def read(source: Path, size: int) -> Vocabulary:
    """Read a vocabulary of `size` tokens. Raises ModelIncompleteError, ModelDamagedError and ModelRefusedError."""
    try:
        vocabulary = _from_folder(source) if source.is_dir() else _from_merges(_published_text(source), size)
    except FileNotFoundError as error:
        raise ModelIncompleteError(f"There is no tokenizer at {source}; {WHERE_FROM}.") from error
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ModelDamagedError(f"The tokenizer {source} can't be read: {error}; {WHERE_FROM}.") from error
    if len(vocabulary.tokens) != size:
        raise ModelRefusedError(
            f"The tokenizer {source} has {len(vocabulary.tokens)} tokens but the text encoder {size}; pass the model's "
            "own tokenizer."
        )
    return vocabulary


def write(vocabulary: Vocabulary, folder: Path, pad_token: str) -> None:
    """Write a tokenizer in the files that CLIPTokenizer and other programs read."""
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary.tokens, ensure_ascii=False))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *vocabulary.merges]) + "\n")
    configuration = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": MAX_TOKENS,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": pad_token,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(configuration, indent=2) + "\n")


def _from_folder(folder: Path) -> Vocabulary:
    """Read either format that transformers saves, from the folder or from its subfolder `tokenizer`."""
    if (folder / "tokenizer").is_dir():
        folder = folder / "tokenizer"
    if (folder / "vocab.json").is_file():
        lines = (folder / "merges.txt").read_text().splitlines()
        return Vocabulary(_tokens(json.loads((folder / "vocab.json").read_bytes())), _without_version(lines))
    model = json.loads((folder / "tokenizer.json").read_bytes())["model"]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    return Vocabulary(_tokens(model["vocab"]), merges)


def _tokens(found: Any) -> dict[str, int]:
    return msgspec.convert(found, dict[str, int])


def _without_version(lines: list[str]) -> list[str]:
    return [line for line in lines if line and not line.startswith("#version")]


def _published_text(file: Path) -> str:
    """Return the text of CLIP's list of merges, from the file itself or from a wheel that contains it."""
    if not zipfile.is_zipfile(file):
        return _unpack(file.read_bytes())
    with zipfile.ZipFile(file) as wheel:
        name = next((name for name in wheel.namelist() if name.endswith(BPE_FILE)), None)
        if name is None:
            raise FileNotFoundError(file)
        return _unpack(wheel.read(name))


def _unpack(packed: bytes) -> str:
    if len(packed) > _MAX_BPE_BYTES:
        raise ValueError(f"it is larger than {BPE_FILE}")
    return gzip.decompress(packed).decode()


def _from_merges(text: str, size: int) -> Vocabulary:
    """Build the vocabulary by CLIP's rule: bytes, bytes that end a word, one token per merge, two special tokens.

    The rule is that of clip/simple_tokenizer.py. The list's first line names a version, and the list is longer than the
    models' vocabularies.
    """
    letters = sorted(_letters())
    count = size - 2 * len(letters) - 2
    merges = text.split("\n")[1 : 1 + max(count, 0)]
    joined = ["".join(merge.split()) for merge in merges]
    entries = [*letters, *(letter + END_OF_WORD for letter in letters), *joined, START, END]
    return Vocabulary({entry: index for index, entry in enumerate(entries)}, merges)


def _letters() -> list[str]:
    """Return the character for each byte: its own if that is printable, otherwise the next one from 256 on."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = _BYTES - len(printable)
    return [chr(code) for code in printable] + [chr(_BYTES + index) for index in range(others)]
