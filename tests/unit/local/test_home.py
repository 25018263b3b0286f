"""The folder that holds all state of one stack, and who may enter it."""

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
    """A folder that was there before, with a file of somebody's in it."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "notes.txt").touch()
    return Home(folder)


def test_a_folder_of_our_making_is_for_its_owner_alone(tmp_path: Path) -> None:
    """So is all that is made in it."""
    home = Home(tmp_path / "above" / "home")
    home.create()
    assert {mode(folder) for folder in (home.path, home.data, home.logs, home.models, home.pictures)} == {0o700}
    assert not home.is_open


def test_an_existing_folder_keeps_its_mode(open_home: Home) -> None:
    """DARKROOM_HOME may name a folder that others use too; what is made in it is closed to them all the same."""
    open_home.create()
    assert mode(open_home.path) == 0o755
    assert {mode(folder) for folder in (open_home.data, open_home.logs)} == {0o700}
    assert open_home.is_open


def test_folders_of_parts_are_closed_even_in_an_open_one(tmp_path: Path) -> None:
    """Queued messages and pictures are nobody else's business where `data` existed before."""
    ports = RabbitMQPorts(amqp=1, management=2, prometheus=3, distribution=4, epmd=5)
    parts = (
        RabbitMQ(tmp_path / "rabbitmq", ports, "a-password", "a-cookie"),
        S3(tmp_path / "s3", 6, "an-access-key", "a-secret-key"),
        Caddy(tmp_path / "edge", 7, tmp_path / "Caddyfile", {}, "bucket"),
    )
    for part in parts:
        part.prepare()
        assert mode(part.folder) == 0o700


def test_an_open_folder_is_worth_a_sentence(
    open_home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`up` says what to do about it, once; a closed folder is worth none."""

    def refuse(home: Home, state: object) -> None:
        raise LocalError("far enough")

    monkeypatch.setattr(stack, "_begin", refuse)
    for home in (open_home, Home(open_home.path / "closed")):
        with pytest.raises(LocalError, match="far enough"):
            stack.up(home)
    (line,) = capsys.readouterr().out.splitlines()
    assert f"`chmod 700 {open_home.path}` closes it." in line
    assert mode(open_home.path) == 0o755
