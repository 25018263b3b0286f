from pathlib import Path

import pytest
from transformers import CLIPTokenizer

from gpu_consumer.models import model_folder
from gpu_consumer.startup import ModelRefusedError
from gpu_consumer.tiny.install import RECIPE_FILE, FolderTakenError, install
from gpu_consumer.tiny.tokenizer import train_merges


def test_two_builds_are_identical(tiny_model: Path, tmp_path: Path) -> None:
    """Two builds of the model have the same bytes, and so the same revision on every machine."""
    install(tmp_path / "again")
    sums = [(folder / model_folder.SUMS).read_text() for folder in (tiny_model, tmp_path / "again")]
    assert sums[0] == sums[1]


def test_small_and_without_pickles(tiny_model: Path) -> None:
    """The model takes less than 5 MB and contains no pickles."""
    files = [file for file in tiny_model.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 5_000_000
    assert {file.suffix for file in files} <= {".json", ".safetensors", ""}


def test_made_once(tiny_model: Path) -> None:
    """A folder that contains the model already is not changed."""
    before = (tiny_model / RECIPE_FILE).stat().st_mtime_ns
    assert install(tiny_model) is False
    assert (tiny_model / RECIPE_FILE).stat().st_mtime_ns == before


def test_older_recipe_is_replaced(tmp_path: Path) -> None:
    """A model of an older version is replaced, and nothing is left beside it."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / RECIPE_FILE).write_text("0\n")
    assert install(folder) is True
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_foreign_folder_is_kept(tmp_path: Path) -> None:
    """A folder with other content is not overwritten."""
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(FolderTakenError):
        install(tmp_path)
    assert (tmp_path / "precious").read_text() == "mine"


def test_damage_is_reported(tmp_path: Path) -> None:
    """A damaged model of the current version is reported."""
    folder = tmp_path / "tiny"
    install(folder)
    (folder / "unet/config.json").write_text("{}")
    with pytest.raises(ModelRefusedError):
        install(folder)


def test_words_do_not_collide(tiny_model: Path) -> None:
    """The tokenizer encodes unknown words of any script to different tokens and decodes them again."""
    tokenizer = CLIPTokenizer.from_pretrained(tiny_model / "tokenizer", local_files_only=True)
    words = ["zebra", "zebrax", "zebraé", "🙂", "ß", "東京"]
    encoded = [tuple(tokenizer(word).input_ids) for word in words]
    assert len(set(encoded)) == len(words)
    assert [tokenizer.decode(ids, skip_special_tokens=True) for ids in encoded] == words


def test_merges_follow_frequency() -> None:
    """The most frequent pair is merged first, and ties go by the alphabet."""
    assert train_merges(["bad", "bad", "cab"], 3) == [("a", "d</w>"), ("b", "ad</w>"), ("a", "b</w>")]
