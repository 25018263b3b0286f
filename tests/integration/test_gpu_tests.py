"""How `make gpu` reports, with and without a GPU."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEASURING = """
import pytest
from tests.gpu.conftest import tell

@pytest.mark.gpu
def test_measures():
    tell("41.5 steps/s")
    tell("peak 2.9 GiB")
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-s", "-m", "gpu", *arguments),
        cwd=ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_without_a_gpu_every_test_fails() -> None:
    """A skipped test would look like success; each says why, and the table ends with its outcome."""
    done = run("--confcutdir=tests/gpu", "-p", "tests.support.models", "tests/gpu/test_steps.py")
    assert done.returncode == 1
    assert "torch finds no CUDA device on this machine." in done.stdout
    rows = [line for line in done.stdout.splitlines() if line.startswith("| test_steps.py::")]
    assert len(rows) == 3
    assert all("| failed |" in row for row in rows)
    assert "skipped" not in done.stdout.splitlines()[-1]


def test_figures_are_shown_beside_the_test_that_measured_them(tmp_path: Path) -> None:
    """In one row of the table."""
    (tmp_path / "test_measuring.py").write_text(MEASURING)
    done = run("-p", "tests.gpu.conftest", "-c", "pyproject.toml", f"--rootdir={ROOT}", str(tmp_path))
    assert done.returncode == 0, done.stdout
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("| ") and "test_measures" in line]
    assert "| passed |" in row
    assert row.endswith("| 41.5 steps/s; peak 2.9 GiB |")
