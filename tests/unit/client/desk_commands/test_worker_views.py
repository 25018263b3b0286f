from collections.abc import Callable

import click
import pytest

from darkroom.desk_commands.worker_views import print_workers
from darkroom_contracts.api.workers import WorkerState
from tests.unit.client.answers import JOB_ID
from tests.unit.client.desk_answers import worker


def test_a_narrow_terminal_has_job_and_device_below(
    at_terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """The job first, with its step."""
    at_terminal(80)
    print_workers([worker(device="NVIDIA H100 80GB HBM3"), worker("gpu-2", state=WorkerState.IDLE, jobs=())], None)
    heading, busy, below, _, device = click.unstyle(capsys.readouterr().out).splitlines()
    assert heading.split() == ["worker", "state", "model", "last", "beat", "last", "hour"]
    assert busy.split()[:2] == ["gpu-1", "busy"]
    assert below.startswith(f"  {JOB_ID}, step 12 of 20, NVIDIA H100")
    assert device == "  NVIDIA L4, 5.4 GB"
    assert max(map(len, (heading, busy, below, device))) <= 80


def test_a_wide_terminal_has_a_line_for_each_worker(
    at_terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """With columns for the hardware."""
    at_terminal(160)
    print_workers([worker()], None)
    heading, line = click.unstyle(capsys.readouterr().out).splitlines()
    assert heading.split()[-3:] == ["device", "memory", "job"]
    assert line.endswith(f"NVIDIA L4  5.4 GB  {JOB_ID}, step 12 of 20")


def test_workers_of_no_interest_follow_the_silent_ones_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """The order of the API is kept among the others."""
    names = ("a", "b", "c")
    print_workers([worker(name, state=WorkerState.LOST if name == "c" else WorkerState.IDLE) for name in names], None)
    assert [line.split()[0] for line in click.unstyle(capsys.readouterr().out).splitlines()[3:]] == ["c", "a", "b"]
