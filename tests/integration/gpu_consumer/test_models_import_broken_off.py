"""Interrupted runs of `darkroom models import`: by Ctrl-C, a kill, a lack of memory, another import."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from darkroom_local.program import base_environment
from gpu_consumer.models.importing import IMPORTED
from gpu_consumer.startup import ExitCode
from tests.integration.gpu_consumer.import_desk import Desk, Running
from tests.support.commands import DARKROOM

KILLED = -signal.SIGKILL


@pytest.fixture
def desk(tiny_model: Path, tmp_path: Path) -> Desk:
    """Return the tiny model as a single file."""
    return Desk(tmp_path, tiny_model)


async def test_conversion_that_dies(desk: Desk) -> None:
    """A killed conversion is reported in one sentence with an exit code, and leaves no files."""
    running = await Running.start(desk)
    running.child.kill()
    code, err = await running.end()
    assert code == ExitCode.RENDER_PROCESS
    assert "The conversion process died (SIGKILL)" in err
    assert "Traceback" not in err
    assert desk.left() == []


async def test_interrupted_by_a_person(desk: Desk) -> None:
    """Ctrl-C ends the conversion and leaves no files."""
    running = await Running.start(desk)
    running.process.send_signal(signal.SIGINT)
    code, err = await running.end()
    assert (code, "Aborted!" in err) == (1, True)
    await running.child_is_gone()
    assert desk.left() == []


@pytest.mark.long
async def test_killed_import(desk: Desk) -> None:
    """A killed import ends its conversion and leaves a hidden folder, which the next import removes."""
    running = await Running.start(desk)
    running.process.kill()
    assert (await running.end())[0] == KILLED
    running.child.resume()
    await running.child_is_gone()
    assert desk.left() == [".mine-import"]
    assert (await desk.run_as_tiny()).exit_code == 0
    assert desk.left() == ["mine"]
    assert (desk.model / IMPORTED).is_file()


@pytest.mark.long
async def test_one_import_at_a_time(desk: Desk) -> None:
    """A second import into the same folder reports the first."""
    running = await Running.start(desk)
    second = await desk.run_as_tiny()
    assert (second.exit_code, "Another import is running" in second.err) == (1, True)
    running.child.resume()
    assert (await running.end())[0] == 0
    assert desk.left() == ["mine"]


async def test_lack_of_address_space(desk: Desk) -> None:
    """A conversion that runs out of memory is reported in one sentence and leaves no files."""
    limited = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_AS, (700_000_000, 700_000_000)); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        limited,
        str(DARKROOM),
        *desk.arguments("--config", str(desk.config), "--dtype", "float32"),
        env={**base_environment(), **desk.environment},
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert (process.returncode, b"Traceback" in err) == (ExitCode.RENDER_PROCESS, False), err.decode()
    assert desk.left() == []
