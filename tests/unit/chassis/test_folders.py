"""Atomic replacement of folders."""

from pathlib import Path

import pytest

from chassis.folders import exchange, replaced


def make(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "file").write_text(text)
    return folder


def test_a_folder_that_is_missing_is_put_in_place(tmp_path: Path) -> None:
    """A missing folder is created with its parents, and no temporary folder is left."""
    folder = tmp_path / "models" / "tiny"
    with replaced(folder) as fresh:
        make(fresh, "new")
        assert not folder.exists()
    assert (folder / "file").read_text() == "new"
    assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_that_exists_is_replaced_whole(tmp_path: Path) -> None:
    """An existing folder is replaced with all of its files, and no temporary folder is left."""
    folder = make(tmp_path / "tiny", "old")
    (folder / "other").touch()
    with replaced(folder) as fresh:
        make(fresh, "new")
        assert (folder / "file").read_text() == "old"
    assert [(file.name, file.read_text()) for file in folder.iterdir()] == [("file", "new")]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_whose_successor_fails_stays(tmp_path: Path) -> None:
    """When the context raises, the folder stays as it was and the new one is removed."""
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
    """When the new folder can't be moved, the old one is moved back."""
    folder = make(tmp_path / "tiny", "old")
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "new", folder, tmp_path / "aside")
    assert (folder / "file").read_text() == "old"


def test_an_exchange_keeps_the_old_folder_aside(tmp_path: Path) -> None:
    """An exchange moves the old folder to the given path."""
    folder, fresh = make(tmp_path / "tiny", "old"), make(tmp_path / "fresh", "new")
    exchange(fresh, folder, tmp_path / "aside")
    assert [(tmp_path / name / "file").read_text() for name in ("tiny", "aside")] == ["new", "old"]
    assert not fresh.exists()
