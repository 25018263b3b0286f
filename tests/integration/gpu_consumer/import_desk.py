"""The setup of an import: a small checkpoint, a catalogue, a models folder, and the running command."""

import asyncio
from pathlib import Path
from typing import Self

import psutil

from darkroom_local.program import base_environment
from tests.support.commands import DARKROOM, Finished, darkroom
from tests.support.single_file import write_checkpoint, write_configuration
from tests.support.waiting import eventually

OTHER = """
# Kept as it is.
[[models]]
name = "other"
path = "other"
schedulers = ["ddim"]
width = { minimum = 64, maximum = 128, default = 64 }
height = { minimum = 64, maximum = 128, default = 64 }
steps = { minimum = 1, maximum = 100, default = 3 }
guidance_scale = { minimum = 0, maximum = 20, default = 7.5 }
max_images = 4
max_cost = 20_000_000
"""
CONVERSION = "gpu_consumer.render.convert"


class Desk:
    """A checkpoint, the folder of its configurations, a catalogue and a models folder."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.home = folder / "home"
        self.catalogue = folder / "models.toml"
        self.catalogue.write_text(OTHER)
        self.file = write_checkpoint(model, folder / "single.safetensors")
        self.config = write_configuration(model, folder / "configuration")
        self.environment = {"DARKROOM_MODELS_FILE": str(self.catalogue), "DARKROOM_MODELS_HOME": str(self.home)}

    @property
    def model(self) -> Path:
        return self.home / "mine"

    def arguments(self, *more: str, file: Path | None = None) -> list[str]:
        return ["models", "import", str(file or self.file), "--name", "mine", *more]

    async def run(self, *more: str, file: Path | None = None, **environment: str) -> Finished:
        """Import with the published configuration."""
        return await darkroom(*self.arguments(*more, file=file), **self.environment, **environment)

    async def run_as_tiny(self, *more: str, file: Path | None = None, **environment: str) -> Finished:
        """Import with the tiny model's own configuration."""
        return await self.run("--config", str(self.config), "--dtype", "float32", *more, file=file, **environment)

    def left(self) -> list[str]:
        return sorted(path.name for path in self.home.iterdir()) if self.home.exists() else []


class Running:
    """A running import, suspended in its child process."""

    def __init__(self, process: asyncio.subprocess.Process, child: psutil.Process) -> None:
        self.process = process
        self.child = child

    @classmethod
    async def start(cls, desk: Desk) -> Self:
        process = await asyncio.create_subprocess_exec(
            DARKROOM,
            *desk.arguments("--config", str(desk.config), "--dtype", "float32"),
            env={**base_environment(), **desk.environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        found: list[psutil.Process] = []

        def is_converting() -> bool:
            children = psutil.Process(process.pid).children()
            found.extend(child for child in children if CONVERSION in child.cmdline())
            return bool(found)

        await eventually(is_converting, what="the conversion runs")
        found[0].suspend()
        return cls(process, found[0])

    async def end(self) -> tuple[int | None, str]:
        _, err = await self.process.communicate()
        return self.process.returncode, err.decode()

    async def child_is_gone(self) -> None:
        await eventually(lambda: not self.child.is_running(), what="the conversion is gone")
