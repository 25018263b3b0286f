"""Files that commands write."""

import os
import stat
from pathlib import Path

import pytest

from darkroom.files import replacing


def write(path: Path, content: bytes) -> None:
    with replacing(path) as file:
        file.write(content)


def test_a_file_is_replaced_through_links(tmp_path: Path) -> None:
    """A symbolic link stays one, and its target has the new content."""
    (tmp_path / "link").symlink_to("target")
    write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


def test_a_private_file_stays_private(tmp_path: Path) -> None:
    """What replaces it has its mode."""
    (tmp_path / "file").touch(mode=0o600)
    write(tmp_path / "file", b"new")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_a_failure_leaves_the_old_file_alone(tmp_path: Path) -> None:
    """Neither a part of the new one nor anything beside it."""
    (tmp_path / "file").write_bytes(b"old")

    def fail() -> None:
        with replacing(tmp_path / "file") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    """It stays a pipe: `--output /dev/stdout` is one, too."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write(pipe, b"new")
        assert os.read(reader, 10) == b"new"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
