import fcntl
import shutil
from pathlib import Path

import pytest

from gpu_consumer.models.scratch import ScratchBusyError, scratch_beside


def test_gone_afterwards(tmp_path: Path) -> None:
    """The folder is removed after success and after failure."""
    with scratch_beside(tmp_path / "model") as scratch:
        (scratch / "new").mkdir()
    with pytest.raises(FileExistsError), scratch_beside(tmp_path / "model") as scratch:
        scratch.mkdir()
    assert list(tmp_path.iterdir()) == []


def test_clears_what_was_left(tmp_path: Path) -> None:
    """Files of a killed process are removed first."""
    left = tmp_path / ".model-import/new"
    left.mkdir(parents=True)
    (left / "half").touch()
    with scratch_beside(tmp_path / "model") as scratch:
        assert list(scratch.iterdir()) == []


def test_one_at_a_time(tmp_path: Path) -> None:
    """A second process gets ScratchBusyError, and the first one's files are not removed."""
    with scratch_beside(tmp_path / "model") as scratch:
        (scratch / "new").mkdir()
        with pytest.raises(ScratchBusyError, match="is running"), scratch_beside(tmp_path / "model"):
            raise AssertionError("both work in one folder")
        assert (scratch / "new").is_dir()


def test_folder_that_was_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock on a folder that the previous process removed does not count."""
    locked = fcntl.flock

    def late(handle: int, operation: int) -> None:
        shutil.rmtree(tmp_path / ".model-import")
        locked(handle, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(ScratchBusyError), scratch_beside(tmp_path / "model"):
        raise AssertionError("works in a folder that is not there")
