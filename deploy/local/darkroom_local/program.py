"""A program to run: what to start, how to stop it, how to see that it is ready."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which

from darkroom_local.errors import MissingPartError


@dataclass(frozen=True)
class Program:
    """One process of a stack."""

    name: str
    command: tuple[str, ...]
    directory: Path
    ready: Callable[[], bool]
    """One look, without waiting."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Comes on top of `base_environment()`."""
    stop_signal: str = "TERM"
    stop_seconds: int = 15
    """How long a stop may take before the program is killed."""
    start_seconds: int = 60
    """How long it may take to be ready."""
    permanent_exit_codes: tuple[int, ...] = ()
    """Exit codes after which the supervisor leaves it stopped; after any other it is started again."""


def base_environment() -> dict[str, str]:
    """The caller's environment without what would configure a part or a service behind the stack's back."""
    foreign = ("DARKROOM_", "RABBITMQ_", "ERL_", "PG", "RCLONE_", "CADDY_", "SUPERVISOR_")
    return {key: value for key, value in os.environ.items() if not key.startswith(foreign)}


def installed(name: str, package: str) -> str:
    """Path of a program that a Python package brought along, else of one on the search path.

    Raises MissingPartError when there is neither.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else which(name)
    if found is None:
        raise MissingPartError(f"{name} is missing; install it with `{sys.executable} -m pip install {package}`.")
    return found
