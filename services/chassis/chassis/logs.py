"""Structured logs: one JSON object a line, with the job id and the trace id wherever there is one.

Prompts, secrets and query strings are never logged at info level; tracebacks show no local variables.
"""

import logging
import sys
from typing import Any

import structlog

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
        renderer = [structlog.processors.ExceptionRenderer(tracebacks), structlog.processors.JSONRenderer()]
    else:
        plain = structlog.dev.RichTracebackFormatter(show_locals=False)
        renderer = [structlog.dev.ConsoleRenderer(exception_formatter=plain)]
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    _adopt_standard_library(shared, renderer, level)


def _adopt_standard_library(shared: list[Any], renderer: list[Any], level: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.INFO), force=True)
    # Their connection losses are told by our own loops, once, and their access lines would carry signed URLs.
    for chatty in ("aio_pika", "aiormq", "uvicorn.access", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
