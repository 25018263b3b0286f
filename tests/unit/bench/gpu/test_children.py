"""Modules that run in processes of their own."""

import asyncio

import psutil
import pytest

from bench.gpu.children import ChildError, output_of


async def test_what_a_program_prints_is_returned() -> None:
    """The whole standard output is returned."""
    assert "Beautiful is better than ugly." in await output_of("this")


async def test_a_failure_has_the_last_line() -> None:
    """The message is the last line of the traceback."""
    with pytest.raises(ChildError, match=r"No such file or directory: 'nowhere'"):
        await output_of("json.tool", "nowhere")


async def test_time_that_is_over_ends_the_program() -> None:
    """The process has ended when the call is canceled."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await output_of("http.server", "0", "--bind", "127.0.0.1")
    assert not [child for child in psutil.Process().children() if "http.server" in child.cmdline()]
