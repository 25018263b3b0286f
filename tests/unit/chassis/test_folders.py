"""Folders that are replaced whole."""

from pathlib import Path

import pytest

from chassis.folders import exchange, replaced


def make(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "file").write_text(text)
    return folder


def test_a_folder_that_is_missing_is_put_in_place(tmp_path: Path) -> None:
    """With the folders above it; nothing is left beside it."""
    folder = tmp_path / "models" / "tiny"
    with replaced(folder) as fresh:
        make(fresh, "new")
        assert not folder.exists()
    assert (folder / "file").read_text() == "new"
    assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_that_exists_is_replaced_whole(tmp_path: Path) -> None:
    """What was in it is gone; nothing is left beside it."""
    folder = make(tmp_path / "tiny", "old")
    (folder / "other").touch()
    with replaced(folder) as fresh:
        make(fresh, "new")
        assert (folder / "file").read_text() == "old"
    assert [(file.name, file.read_text()) for file in folder.iterdir()] == [("file", "new")]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_whose_successor_fails_stays(tmp_path: Path) -> None:
    """And what was made of the successor is removed."""
    folder = make(tmp_path / "tiny", "old")

    def fail() -> None:
        with replaced(folder) as fresh:
            make(fresh, "half")
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert (folder / "file").read_text() == "old"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_whose_successor_is_missing_is_moved_back(tmp_path: Path) -> None:
    """The second rename of an exchange may fail."""
    folder = make(tmp_path / "tiny", "old")
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "new", folder, tmp_path / "aside")
    assert (folder / "file").read_text() == "old"


def test_an_exchange_keeps_the_old_folder_aside(tmp_path: Path) -> None:
    """For whoever wants it back."""
    folder, fresh = make(tmp_path / "tiny", "old"), make(tmp_path / "fresh", "new")
    exchange(fresh, folder, tmp_path / "aside")
    assert [(tmp_path / name / "file").read_text() for name in ("tiny", "aside")] == ["new", "old"]
    assert not fresh.exists()
