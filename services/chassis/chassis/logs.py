"""Structured logs: one JSON object a line, with job id and trace id where they are known.

Prompts, secrets and query strings are never logged at level info; tracebacks show no local variables.
"""

import atexit
import json
import logging
import sys
from typing import Any

import msgspec
import structlog

from chassis.log_lines import Lines, LineWriter
from chassis.settings import LogSettings


def configure(service: str, settings: LogSettings) -> None:
    """Send structlog and the standard library's loggers to stderr in one format."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[Any]
    if settings.log_format == "json":
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        renderer = [structlog.processors.ExceptionRenderer(tracebacks), _render_json]
    else:
        plain = structlog.dev.RichTracebackFormatter(show_locals=False)
        renderer = [structlog.dev.ConsoleRenderer(exception_formatter=plain)]
    lines = Lines(sys.stderr)
    atexit.register(lines.flush)
    writer = LineWriter(lines)
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    _adopt_standard_library(lines, shared, renderer, level)


_encode = msgspec.json.Encoder(enc_hook=repr).encode


def _render_json(_logger: Any, _method: str, event: structlog.typing.EventDict) -> str:
    try:
        return _encode(event).decode()
    except UnicodeEncodeError:  # a lone surrogate, which json escapes and msgspec does not
        return json.dumps(event, default=repr)


def _adopt_standard_library(lines: Lines, shared: list[Any], renderer: list[Any], level: int) -> None:
    handler = logging.StreamHandler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.INFO), force=True)
    # Our own loops log a lost connection, once; the access lines would contain signed URLs.
    for chatty in ("aio_pika", "aiormq", "uvicorn.access", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
