"""Structured logs, as a process writes them."""

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

SET_UP = """
import logging, structlog
from chassis import logs
from chassis.settings import LogSettings
logs.configure("kitchen", LogSettings(log_level={level!r}, log_format={format!r}))
log = structlog.get_logger()
"""
FAIL = """
def cook(secret):
    raise RuntimeError("burnt")
try:
    cook("the recipe")
except RuntimeError as error:
    log.error("cooking failed", exc_info=error)
"""


def output_of(code: str, *, level: str = "info", format_: str = "json", ends_by: int = 0) -> str:
    """Run a process and return its stderr. `ends_by` is its exit code, or minus a signal."""
    script = SET_UP.format(level=level, format=format_) + code
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", ends_by)
    return done.stderr


def lines_of(code: str, **settings: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output_of(code, **settings).splitlines()]


def test_a_line_is_one_json_object() -> None:
    """A line is a JSON object with time, level, service and event."""
    (line,) = lines_of("log.info('job done', job_id='j-1', seconds=1.5)")
    assert (line["event"], line["level"], line["service"]) == ("job done", "info", "kitchen")
    assert (line["job_id"], line["seconds"]) == ("j-1", 1.5)
    assert line["timestamp"].endswith("Z")


def test_the_standard_library_s_loggers_write_the_same_form() -> None:
    """Records of the standard library's loggers have the same format."""
    (line,) = lines_of("logging.getLogger('some.library').warning('careful: %s', 'hot')")
    assert (line["event"], line["logger"], line["level"]) == ("careful: hot", "some.library", "warning")


def test_what_is_bound_to_the_context_is_on_every_line() -> None:
    """Lines contain the bound context, such as the trace id."""
    bound = "structlog.contextvars.bind_contextvars(trace_id='t-1')\n"
    lines = lines_of(bound + "log.info('one'); logging.getLogger('x').warning('two')")
    assert [line["trace_id"] for line in lines] == ["t-1", "t-1"]


def test_a_traceback_shows_no_local_variables() -> None:
    """Tracebacks contain no local variables, which may be prompts or keys."""
    (line,) = lines_of(FAIL)
    assert line["exception"][0]["exc_value"] == "burnt"
    assert line["exception"][0]["frames"][-1]["name"] == "cook"
    assert "the recipe" not in json.dumps(line)


def test_nor_does_the_console_form() -> None:
    """The console format shows tracebacks without local variables, too."""
    text = output_of(FAIL, format_="console")
    assert "cooking failed" in text
    assert "burnt" in text
    assert "secret = " not in text


@pytest.mark.parametrize(("level", "shown"), [("debug", 3), ("info", 2), ("error", 1)])
def test_the_level_bounds_what_is_written(level: str, shown: int) -> None:
    """Lines below the level of the settings are not written."""
    assert len(lines_of("log.debug('a'); log.info('b'); log.error('c')", level=level)) == shown


def test_access_lines_are_not_written() -> None:
    """Access lines are not written, because they would contain signed URLs."""
    assert output_of("logging.getLogger('uvicorn.access').info('GET /x?X-Amz-Signature=abc')") == ""


def test_whatever_is_logged_makes_a_line() -> None:
    """Objects are logged by their repr, and lone surrogates are escaped."""
    code = "log.info('odd', text=chr(0xd800), cause=ValueError('x'), at={1: b'y'})"
    (line,) = lines_of(code)
    assert (line["text"], line["cause"]) == ("\ud800", "ValueError('x')")


def test_an_exception_is_told_while_the_loop_runs() -> None:
    """Warnings and exceptions are written before the process continues."""
    (line,) = lines_of(
        "import asyncio, os\n"
        "async def main():\n"
        "    try: 1 / 0\n"
        "    except ZeroDivisionError: log.exception('broken')\n"
        "    os._exit(0)\n"
        "asyncio.run(main())"
    )
    assert (line["event"], line["level"]) == ("broken", "error")


def test_a_killed_process_has_written_what_it_logged_before_it_waited() -> None:
    """A killed process has written all lines of its finished iterations."""
    lines = lines_of(
        "import asyncio, os, signal\n"
        "async def main():\n"
        "    log.info('one'); log.info('two')\n"
        "    await asyncio.sleep(0.001)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())",
        ends_by=-signal.SIGKILL,
    )
    assert [line["event"] for line in lines] == ["one", "two"]


def test_lines_keep_their_order_whoever_writes_them() -> None:
    """Lines are in order with those of libraries, and the last ones are written at exit."""
    lines = lines_of(
        "import asyncio\n"
        "async def main():\n"
        "    log.info('one'); logging.getLogger('x').warning('two'); log.info('three')\n"
        "    await asyncio.to_thread(log.info, 'four')\n"
        "    log.info('five')\n"
        "asyncio.run(main())\n"
        "log.info('six')"
    )
    assert [line["event"] for line in lines] == ["one", "two", "three", "four", "five", "six"]
