"""Modules that run in processes of their own."""

import asyncio
import contextlib
import sys

GRACE_SECONDS = 20.0
"""Time between SIGTERM and SIGKILL, for a stack to stop its parts."""


class ChildError(Exception):
    """A process failed. The message is the last line of its standard error."""

    def __init__(self, module: str, returncode: int, errors: str) -> None:
        self.lines = errors.strip().splitlines()
        """Its standard error."""
        super().__init__(self.lines[-1] if self.lines else f"{module} ended with {returncode}")


async def output_of(module: str, *arguments: str) -> str:
    """Run `python -m module` and return its standard output. Cancelling ends the process. Raises ChildError."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            await _end(process)
    if process.returncode:
        raise ChildError(module, process.returncode, errors.decode(errors="replace"))
    return out.decode()


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
