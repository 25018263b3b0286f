"""A program of a stack: its command, its readiness probe and how to stop it."""

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
    """Probes once, without waiting."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to `base_environment()`."""
    stop_signal: str = "TERM"
    stop_seconds: int = 15
    """Time between the stop signal and SIGKILL."""
    start_seconds: int = 60
    """Time to become ready before the start counts as failed."""
    permanent_exit_codes: tuple[int, ...] = ()
    """Exit codes after which the supervisor leaves it stopped. After any other it is restarted."""


def base_environment() -> dict[str, str]:
    """Return the caller's environment without the variables that configure a part or a service."""
    foreign = ("DARKROOM_", "RABBITMQ_", "ERL_", "PG", "RCLONE_", "CADDY_", "SUPERVISOR_")
    return {key: value for key, value in os.environ.items() if not key.startswith(foreign)}


def installed(name: str, package: str) -> str:
    """Return the path of a program that a Python package installed, or of one on the search path.

    Raises MissingPartError when neither exists.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else which(name)
    if found is None:
        raise MissingPartError(f"{name} is missing; install it with `{sys.executable} -m pip install {package}`.")
    return found
