"""Structured logs on stdout, one JSON object a line; never a prompt, an answer, an argument or a token."""

from __future__ import annotations

import logging
import sys
import warnings
from typing import Any

import structlog


def configure(**bound: Any) -> structlog.typing.FilteringBoundLogger:
    """Set logging up for this process; `bound` is on every line."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
    )
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(**bound)
    # Libraries quote what they received when they complain: of them only the server's own errors are let through.
    warnings.showwarning = lambda _, category, *__: logger.warning("a library warns", kind=category.__name__)
    logging.lastResort = None
    logging.getLogger("uvicorn.error").addHandler(_ServerErrors(logger))
    return logger


class _ServerErrors(logging.Handler):
    """Passes on what went wrong, without the traceback, whose last line may quote a request."""

    def __init__(self, logger: structlog.typing.FilteringBoundLogger) -> None:
        super().__init__(logging.ERROR)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log the message, and the kind of the exception if there is one."""
        kind = record.exc_info[0] if record.exc_info else None
        lines = record.getMessage().splitlines() or [""]
        self._logger.error(lines[0], exception=kind.__name__ if kind else None)
