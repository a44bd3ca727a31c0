"""How every process of the product logs: lines on stderr, JSON for machines, words for a terminal."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

quiet = ("httpx", "httpcore", "asyncio")
"""Loggers of libraries that tell every single request."""


def configure_logging(service: str, level: str = "info") -> None:
    """Log to stderr as ``service``: JSON, one object a line, unless stderr is a terminal. Every line has ``ts`` (UTC),
    ``level``, ``event`` and ``service``, then what is bound in structlog's context. Lines of the standard library's
    logging come out in the same form."""
    number = logging.getLevelNamesMapping()[level.upper()]
    terminal = sys.stderr.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        _named(service),
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(terminal)],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=number, force=True)
    for name in quiet:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _rendering(terminal: bool) -> list[Processor]:
    if terminal:
        return [structlog.dev.ConsoleRenderer(colors=not os.environ.get("NO_COLOR"), timestamp_key="ts")]
    return [structlog.processors.format_exc_info, _in_order, structlog.processors.JSONRenderer()]


def _named(service: str) -> Processor:
    def add(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return add


def _in_order(_: WrappedLogger, __: str, event: EventDict) -> dict[str, Any]:
    """The same fields first in every line, so that people can read them too."""
    first = ("ts", "level", "event", "service")
    return {name: event[name] for name in first if name in event} | {k: v for k, v in event.items() if k not in first}
