"""The environment of `make gpu` and `make bench-gpu`, around a PyTorch that the machine brings."""

import re
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "deploy" / "local" / "gpu-environment"
PACKAGES = ROOT / "deploy" / "local" / "gpu-packages.txt"
OWN = re.compile(r"^darkroom-")
OPTIONAL = {"attrs", "click", "rich", "scipy"}
"""Imported by others where they are there, as in the environment that runs this test."""
IMPORTS = """
import importlib, pkgutil, sys
import bench.gpu, tests.gpu, pytest, pytest_timeout
for package in (bench.gpu, tests.gpu):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
import gpu_consumer.render.child, gpu_consumer.render.warmup, accelerate
from importlib.metadata import packages_distributions
of = packages_distributions()
print(*{name for top in {name.partition(".")[0] for name in sys.modules} for name in of.get(top, ())})
"""


def build(python: Path, folder: Path, packages: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run((SCRIPT, python, folder, packages), capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Return an interpreter that imports torch and pip from outside its own site-packages."""
    folder = tmp_path / "machine"
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "elsewhere.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return folder / "bin" / "python"


def test_the_machines_torch_and_the_checkout_are_importable(machine: Path, tmp_path: Path) -> None:
    """An environment of an environment shows the latter's packages, though Python by itself would not."""
    (tmp_path / "none").write_text("")
    done = build(machine, tmp_path / "around", tmp_path / "none")
    assert done.returncode == 0, done.stderr
    asked = (
        "import gpu_consumer.render, importlib.util, importlib.metadata;"
        "print(importlib.util.find_spec('torch').origin);"
        "print(gpu_consumer.__file__);"
        "print(importlib.metadata.version('darkroom-gpu-consumer'))"
    )
    shown = subprocess.run(
        (tmp_path / "around" / "bin" / "python", "-c", asked), capture_output=True, text=True, check=True, cwd=tmp_path
    )
    torch, consumer, version = shown.stdout.splitlines()
    assert torch.startswith(sysconfig.get_path("purelib"))
    assert consumer.startswith(f"{ROOT}/services/gpu-consumer/")
    assert version


def test_a_package_without_a_version_is_refused(machine: Path, tmp_path: Path) -> None:
    """Nothing is installed that constraints.txt does not pin."""
    (tmp_path / "unknown").write_text("no-such-package\n")
    done = build(machine, tmp_path / "around", tmp_path / "unknown")
    assert done.returncode != 0
    assert "constraints.txt has no version of no-such-package." in done.stderr


def test_the_list_holds_all_that_is_imported() -> None:
    """Without anything that torch brings by itself, and with what the render process imports late."""
    done = subprocess.run((sys.executable, "-c", IMPORTS), capture_output=True, text=True, cwd=ROOT, check=True)
    imported = {plain(name) for name in done.stdout.split() if not OWN.match(name)}
    listed = {plain(name) for name in PACKAGES.read_text().split()}
    assert imported - needs("torch") - OPTIONAL <= listed
    assert not listed & {"torch"}


def needs(name: str) -> set[str]:
    """Return the names of a distribution and of everything that it requires, without extras."""
    found, left = set(), [name]
    while left:
        name = plain(left.pop())
        if name in found:
            continue
        found.add(name)
        try:
            left += [re.split(r"[^\w.-]", line)[0] for line in requires(name) or () if "extra ==" not in line]
        except PackageNotFoundError:
            continue  # for another platform
    return found


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
