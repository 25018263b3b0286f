"""Wheels of distributions, and environments that hold nothing but what pip installs from them.

pip asks no index: the packages of others are packed again from the environment that the tests run in, which holds the
versions of constraints.txt.
"""

import subprocess
import sys
import venv
from collections.abc import Iterable
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path
from zipfile import Path as ZipPath
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.tags import Tag, parse_tag, sys_tags
from packaging.utils import canonicalize_name

from darkroom_local.program import base_environment

_SUPPORTED = frozenset(sys_tags())


class Wheelhouse:
    """A folder of wheels: those of the given projects, and those of all packages that these need."""

    def __init__(self, folder: Path, projects: Iterable[Path]) -> None:
        self.folder = folder
        _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, *projects)
        built = [_metadata_of(wheel) for wheel in folder.glob("*.whl")]
        self._names = {canonicalize_name(each.name) for each in built}
        for each in built:
            self._add_requirements(each, extras={"", "cli"})

    def _add_requirements(self, needing: Distribution, extras: set[str]) -> None:
        for requirement in map(Requirement, needing.requires or ()):
            if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
                continue
            name = canonicalize_name(requirement.name)
            if name not in self._names:
                self._names.add(name)
                installed = distribution(name)
                _pack(installed, self.folder)
                self._add_requirements(installed, extras={"", *requirement.extras})


class Environment:
    """A virtual environment with the requirements from the wheelhouse, and nothing else."""

    def __init__(self, folder: Path, wheelhouse: Wheelhouse, *requirements: str) -> None:
        self.folder = folder
        venv.create(folder, symlinks=True)
        self.python = folder / "bin" / "python"
        self._wheels = wheelhouse.folder
        self.install(*requirements)

    def install(self, *requirements: str) -> None:
        """Install from the wheelhouse alone."""
        self.pip("install", "--no-compile", "--no-index", "--find-links", self._wheels, *requirements)

    def pip(self, *arguments: str | Path) -> str:
        """Return what pip prints about this environment."""
        return _pip("--python", self.python, *arguments)

    def packages(self) -> set[str]:
        """Return the normalized names of all installed distributions."""
        listed = self.pip("list", "--format", "freeze").splitlines()
        return {canonicalize_name(line.partition("==")[0]) for line in listed}

    def run(self, program: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run one of the environment's programs in its own folder, with these settings alone."""
        return subprocess.run(
            [self.python.with_name(program), *arguments],
            cwd=self.folder,
            env=_clean_environment() | settings,
            capture_output=True,
            text=True,
            timeout=60,
        )


def write_project(folder: Path, name: str) -> Path:
    """Write the source of a distribution that holds one empty package of its own name."""
    package = folder / name
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n\n'
        f'[project]\nname = "{name}"\nversion = "9.9"\n'
    )
    return folder


def _pip(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-cache-dir", *arguments]
    done = subprocess.run(command, env=_clean_environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in base_environment().items() if not name.startswith(("PYTHON", "PIP_"))}


def _metadata_of(wheel: Path) -> Distribution:
    name, version = wheel.name.split("-")[:2]
    return PathDistribution(ZipPath(ZipFile(wheel), f"{name}-{version}.dist-info/"))


def _pack(installed: Distribution, folder: Path) -> None:
    """Make the wheel again that the distribution was installed from, without its scripts, which pip writes itself."""
    files = [file for file in installed.files or () if file.parts[0] != ".." and "__pycache__" not in file.parts]
    (stem,) = {file.parts[0].removesuffix(".dist-info") for file in files if file.parts[0].endswith(".dist-info")}
    with ZipFile(folder / f"{stem}-{_supported_tag(installed)}.whl", "w") as wheel:
        for file in files:
            wheel.write(Path(str(file.locate())), str(file))


def _supported_tag(installed: Distribution) -> Tag:
    lines = (installed.read_text("WHEEL") or "").splitlines()
    tags = (tag for line in lines if line.startswith("Tag: ") for tag in parse_tag(line.removeprefix("Tag: ")))
    return next(tag for tag in tags if tag in _SUPPORTED)
