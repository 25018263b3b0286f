"""The folder that holds the state of one stack, and its mode."""

import stat
from pathlib import Path

import pytest

from darkroom_local import stack
from darkroom_local.errors import LocalError
from darkroom_local.home import Home
from darkroom_local.parts import S3, Caddy, RabbitMQ
from darkroom_local.parts.rabbitmq import RabbitMQPorts


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_home(tmp_path: Path) -> Home:
    """Return a folder that existed before, with a file of another user in it."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "notes.txt").touch()
    return Home(folder)


def test_a_new_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    """So are the folders in it."""
    home = Home(tmp_path / "above" / "home")
    home.create()
    assert {mode(folder) for folder in (home.path, home.data, home.logs, home.models, home.pictures)} == {0o700}
    assert not home.is_open


def test_an_existing_folder_keeps_its_mode(open_home: Home) -> None:
    """DARKROOM_HOME may name a folder that others use too; the new folders in it are closed to them."""
    open_home.create()
    assert mode(open_home.path) == 0o755
    assert {mode(folder) for folder in (open_home.data, open_home.logs)} == {0o700}
    assert open_home.is_open


def test_folders_of_parts_are_closed_even_in_an_open_one(tmp_path: Path) -> None:
    """Queued messages and pictures are closed to other users, also where `data` existed before."""
    ports = RabbitMQPorts(amqp=1, management=2, prometheus=3, distribution=4, epmd=5)
    parts = (
        RabbitMQ(tmp_path / "rabbitmq", ports, "a-password", "a-cookie"),
        S3(tmp_path / "s3", 6, "an-access-key", "a-secret-key"),
        Caddy(tmp_path / "edge", 7, tmp_path / "Caddyfile", {}, "bucket"),
    )
    for part in parts:
        part.prepare()
        assert mode(part.folder) == 0o700


def test_an_open_folder_is_reported(
    open_home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`up` prints one line with the command that closes it, and none for a closed folder."""

    def refuse(home: Home, state: object) -> None:
        raise LocalError("far enough")

    monkeypatch.setattr(stack, "_begin", refuse)
    for home in (open_home, Home(open_home.path / "closed")):
        with pytest.raises(LocalError, match="far enough"):
            stack.up(home)
    (line,) = capsys.readouterr().out.splitlines()
    assert f"Close it with `chmod 700 {open_home.path}`." in line
    assert mode(open_home.path) == 0o755
