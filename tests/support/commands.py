"""Runs the `darkroom` command as its users do."""

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkroom_local.program import base_environment

DARKROOM = Path(sys.executable).with_name("darkroom")


@dataclass
class Finished:
    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.exit_code == 0, self.err
        return json.loads(self.out)


async def darkroom(*arguments: str, **environment: str) -> Finished:
    """Run `darkroom` with only the given settings in its environment."""
    process = await asyncio.create_subprocess_exec(
        DARKROOM,
        *arguments,
        env={**base_environment(), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())
