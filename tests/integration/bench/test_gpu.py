"""The whole program of `make bench-gpu`, on the CPU with tiny models."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.gpu.subjects import TINY


def run(results: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "bench.gpu", "--tiny", "--results", str(results), *arguments),
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


@pytest.mark.long
def test_tiny_models_are_measured_and_recorded(tmp_path: Path) -> None:
    """Both models have a table with figures; variants that need CUDA are listed as not measured, without a failure."""
    done = run(tmp_path, "--device", "cpu", "--seconds", "150")
    assert done.returncode == 0, done.stdout + done.stderr
    (recorded,) = tmp_path.iterdir()
    assert recorded.name.endswith("-cpu-tiny-gpu.md")
    report = recorded.read_text()
    for subject in TINY:
        assert f"## {subject.title}, 64x64" in report
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in report.splitlines() if line.startswith("| ")]
    measured = [row for row in rows if row[0] in ("plain", "channels_last")]
    assert len(measured) == 4
    for row in measured:
        assert all(float(row[column]) > 0 for column in (1, 2, 3, 4, 6, 7))
        assert len(row[10]) == 12
    assert {row[4] for row in measured if row[0] == "plain"} == {"1.00"}
    lacking = [row for row in rows if row[1] == "not measured: it needs CUDA"]
    assert len(lacking) == 6
    assert "was not measured: the models are tiny." in report
    assert all(line in done.stdout for line in report.splitlines()[4:])


def test_what_does_not_fit_into_the_time_fails_the_run(tmp_path: Path) -> None:
    """It is listed and makes the exit code 1; a run without results records nothing."""
    done = run(tmp_path, "--device", "cpu", "--seconds", "1")
    assert done.returncode == 1
    assert done.stdout.count("| not measured: the time limit was reached |") == 4
    assert "Failed: SDXL, tiny, plain: not measured: the time limit was reached." in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_a_missing_gpu_fails_the_run(tmp_path: Path) -> None:
    """Every variant reports the missing CUDA device, and none counts as skipped."""
    done = run(tmp_path, "--device", "cuda", "--seconds", "100", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    assert done.stdout.count("| not measured: No CUDA device is available to this process") == 10
    assert "Nothing was measured, so nothing is recorded." in done.stdout
