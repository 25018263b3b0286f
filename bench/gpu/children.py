"""Programs of this package that are run in processes of their own."""

import asyncio
import contextlib
import sys

GRACE_SECONDS = 20.0
"""To leave by itself after SIGTERM: a stack takes its parts down."""


class ChildError(Exception):
    """It failed; the message is the last line that it wrote."""

    def __init__(self, module: str, returncode: int, errors: str) -> None:
        self.lines = errors.strip().splitlines()
        """All that it wrote to its standard error."""
        super().__init__(self.lines[-1] if self.lines else f"{module} ended with {returncode}")


async def output_of(module: str, *arguments: str) -> str:
    """What `python -m module` printed. Raises ChildError. When this is canceled the program is ended."""
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
