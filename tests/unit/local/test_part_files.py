"""The files and commands of the parts."""

import stat
from pathlib import Path

import pytest

from darkroom_local.errors import MissingPartError
from darkroom_local.parts import S3, RabbitMQ, rabbitmq
from darkroom_local.parts.rabbitmq import RabbitMQPorts

PORTS = RabbitMQPorts(amqp=1, management=2, prometheus=3, distribution=4, epmd=5)


def node(folder: Path) -> RabbitMQ:
    return RabbitMQ(folder, PORTS, "a-password", "a-cookie")


def test_rabbitmq_listens_on_loopback_only(tmp_path: Path) -> None:
    """Every listener of the configuration has the loopback address, and so have distribution and epmd."""
    node(tmp_path).prepare()
    lines = (tmp_path / "rabbitmq.conf").read_text().splitlines()
    listeners = dict(line.split(" = ") for line in lines if ".tcp." in line)
    assert listeners["listeners.tcp.1"] == "127.0.0.1:1"
    assert listeners["management.tcp.ip"] == listeners["prometheus.tcp.ip"] == "127.0.0.1"
    epmd, server = node(tmp_path).programs()
    assert "127.0.0.1" in epmd.command
    assert server.environment["ERL_EPMD_ADDRESS"] == "127.0.0.1"
    assert "{127,0,0,1}" in server.environment["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"]


def test_rabbitmq_keeps_its_secrets(tmp_path: Path) -> None:
    """Cookie and password are in files with modes 400 and 600, and not in a command line."""
    node(tmp_path).prepare()
    assert stat.S_IMODE((tmp_path / ".erlang.cookie").stat().st_mode) == 0o400
    assert stat.S_IMODE((tmp_path / "rabbitmq.conf").stat().st_mode) == 0o600
    commands = " ".join(word for program in node(tmp_path).programs() for word in program.command)
    assert "a-password" not in commands
    assert "a-cookie" not in commands


def test_rabbitmq_is_prepared_again_and_again(tmp_path: Path) -> None:
    """Preparing a second time replaces the read-only cookie."""
    node(tmp_path).prepare()
    node(tmp_path).prepare()
    assert (tmp_path / ".erlang.cookie").read_text() == "a-cookie"


def test_nodes_of_different_folders_have_different_names(tmp_path: Path) -> None:
    """Two stacks on one machine have two nodes."""
    assert node(tmp_path / "one").node != node(tmp_path / "two").node
    assert node(tmp_path / "one").node == node(tmp_path / "one").node


def test_a_missing_rabbitmq_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the command that installs it."""
    monkeypatch.setattr(rabbitmq, "SERVER_SCRIPTS", (str(tmp_path / "nowhere"),))
    with pytest.raises(MissingPartError, match="apt-get install rabbitmq-server"):
        node(tmp_path).programs()
    assert not rabbitmq.is_installed()


def test_the_s3_secret_is_in_no_command_line(tmp_path: Path) -> None:
    """It is in the environment, which other users cannot read."""
    (program,) = S3(tmp_path, 1, "an-access-key", "a-secret-key").programs()
    assert "a-secret-key" not in " ".join(program.command)
