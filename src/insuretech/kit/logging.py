"""Structured logs on standard error, one JSON object a line; never personal data, tokens or bodies."""

import asyncio
import logging
import sys

import structlog

from insuretech.kit.tracing import current_trace_id


def _add_trace(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event["trace_id"] = current_trace_id()
    return event


def _no_failure(record: logging.LogRecord) -> bool:
    """Drops what a library says of being told to stop: SQLAlchemy prints the stack of a connection closed meanwhile."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def configure_logging(level: str = "INFO") -> None:
    """Set up structlog and let libraries speak through it from WARNING up."""
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(stream=sys.stderr, level=max(number, logging.WARNING), format="%(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(_no_failure)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_trace,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
