"""Structured logs, as a process writes them."""

import json
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


def output_of(code: str, *, level: str = "info", format_: str = "json") -> str:
    """What a process logs to stderr; logging is set up once a process."""
    script = SET_UP.format(level=level, format=format_) + code
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr


def lines_of(code: str, **settings: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output_of(code, **settings).splitlines()]


def test_a_line_is_one_json_object() -> None:
    """It tells when, how grave, which service, and what."""
    (line,) = lines_of("log.info('job done', job_id='j-1', seconds=1.5)")
    assert (line["event"], line["level"], line["service"]) == ("job done", "info", "kitchen")
    assert (line["job_id"], line["seconds"]) == ("j-1", 1.5)
    assert line["timestamp"].endswith("Z")


def test_the_standard_library_s_loggers_write_the_same_form() -> None:
    """Libraries speak through them."""
    (line,) = lines_of("logging.getLogger('some.library').warning('careful: %s', 'hot')")
    assert (line["event"], line["logger"], line["level"]) == ("careful: hot", "some.library", "warning")


def test_what_is_bound_to_the_context_is_on_every_line() -> None:
    """Above all the trace id."""
    bound = "structlog.contextvars.bind_contextvars(trace_id='t-1')\n"
    lines = lines_of(bound + "log.info('one'); logging.getLogger('x').warning('two')")
    assert [line["trace_id"] for line in lines] == ["t-1", "t-1"]


def test_a_traceback_shows_no_local_variables() -> None:
    """Prompts and keys are among them."""
    (line,) = lines_of(FAIL)
    assert line["exception"][0]["exc_value"] == "burnt"
    assert line["exception"][0]["frames"][-1]["name"] == "cook"
    assert "the recipe" not in json.dumps(line)


def test_nor_does_the_console_form() -> None:
    """Which is for people, and shows where it broke."""
    text = output_of(FAIL, format_="console")
    assert "cooking failed" in text
    assert "burnt" in text
    assert "secret = " not in text


@pytest.mark.parametrize(("level", "shown"), [("debug", 3), ("info", 2), ("error", 1)])
def test_the_level_bounds_what_is_written(level: str, shown: int) -> None:
    """From the settings."""
    assert len(lines_of("log.debug('a'); log.info('b'); log.error('c')", level=level)) == shown


def test_access_lines_are_not_written() -> None:
    """They would carry signed URLs."""
    assert output_of("logging.getLogger('uvicorn.access').info('GET /x?X-Amz-Signature=abc')") == ""
