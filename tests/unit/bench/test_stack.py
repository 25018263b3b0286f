import sys
from pathlib import Path
from typing import Any

import pytest

from bench.broker import count_work
from bench.checkout import Checkout
from bench.stack import read_settings
from bench.supervision import rpc_url

ENV = """\
DARKROOM_HOME='/tmp/my folder'
DARKROOM_API_KEY=dk_client_x
DARKROOM_DATABASE_URL='postgresql://u:p=1@127.0.0.1/d'
export DARKROOM_HOME DARKROOM_API_KEY DARKROOM_DATABASE_URL
"""
SUPERVISORD = """\
[supervisord]
directory = .

[inet_http_server]
port = 127.0.0.1:20001
username = darkroom
password = secret

[program:gateway]
command = python "100%%"
"""


def test_the_env_file_is_read_as_a_shell_would() -> None:
    """Values keep their quotes and equals signs, and the export line adds nothing."""
    assert read_settings(ENV) == {
        "DARKROOM_HOME": "/tmp/my folder",
        "DARKROOM_API_KEY": "dk_client_x",
        "DARKROOM_DATABASE_URL": "postgresql://u:p=1@127.0.0.1/d",
    }


def test_the_supervisor_is_found_by_its_own_configuration() -> None:
    """Address, user and password are read from one section; percent signs in others are ignored."""
    assert rpc_url(SUPERVISORD) == "http://darkroom:secret@127.0.0.1:20001/RPC2"


def test_only_work_queues_are_counted() -> None:
    """Lanes, dead letters and live events are not counted, and a queue without a count yet counts as 0."""
    queues: list[dict[str, Any]] = [
        {"name": "darkroom.render.tiny.v1", "messages": 3},
        {"name": "darkroom.render.shapes.v2", "messages": 4},
        {"name": "darkroom.render.new.v1"},
        {"name": "darkroom.dead.v1", "messages": 100},
        {"name": "amq.gen-x", "messages": 100},
    ]
    assert count_work(queues) == 7


def test_a_folder_that_is_not_set_up_is_refused(tmp_path: Path) -> None:
    """The message names the command that sets it up."""
    with pytest.raises(SystemExit, match="make setup"):
        Checkout.at(tmp_path)


def test_each_checkout_has_its_own_interpreter(tmp_path: Path) -> None:
    """It is that of the virtual environment, by its path there; for this checkout it is the running one."""
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert Checkout.at(tmp_path).python == python
    assert Checkout.own().python == Path(sys.executable)
