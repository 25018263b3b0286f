"""The launcher of programs."""

import json
import os
import subprocess
import sys
from pathlib import Path

from darkroom_local.launch import describe
from darkroom_local.program import Program

REPORT = "import json, os; print(json.dumps([os.getpid(), os.getcwd(), dict(os.environ)]))"


def test_the_launcher_becomes_the_program(tmp_path: Path) -> None:
    """It has the launcher's pid, its own folder and environment and the mark, but no settings of the caller."""
    program = Program(
        name="reporter",
        command=(sys.executable, "-c", REPORT),
        directory=tmp_path,
        environment={"DARKROOM_LOG_LEVEL": "debug", "RABBITMQ_LOGS": '"%(x)s"; #'},
        ready=lambda: True,
    )
    file = tmp_path / "programs.json"
    describe(file, [program], {"DARKROOM_STACK": "here"})
    caller = {**os.environ, "DARKROOM_PORT": "1", "RABBITMQ_NODENAME": "other@host", "LANG": "C.UTF-8"}
    launcher = subprocess.Popen(
        (sys.executable, "-m", "darkroom_local.launch", str(file), "reporter"), env=caller, stdout=subprocess.PIPE
    )
    output, _ = launcher.communicate(timeout=30)
    pid, folder, environment = json.loads(output)
    assert pid == launcher.pid
    assert folder == str(tmp_path)
    assert environment["DARKROOM_LOG_LEVEL"] == "debug"
    assert environment["RABBITMQ_LOGS"] == '"%(x)s"; #'
    assert environment["DARKROOM_STACK"] == "here"
    assert environment["LANG"] == "C.UTF-8"
    assert "DARKROOM_PORT" not in environment
    assert "RABBITMQ_NODENAME" not in environment
