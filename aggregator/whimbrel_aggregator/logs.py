"""Structured logs: one JSON object a line, to stderr.

Facts go beside the message (``log.info("link is up", extra=facts(broker=url))``), never into
it, so that a reader can search. Secrets are not handed to loggers at all.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import IO, Any, Final

_FACTS: Final = "whimbrel_facts"


def facts(**values: object) -> dict[str, Any]:
    """Return what ``extra`` of a log call takes for these named facts."""
    return {_FACTS: values}


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON; times are UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "from": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, _FACTS, {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def start_logs(*, level: str = "info", stream: IO[str] | None = None) -> None:
    """Send every log of this process to ``stream`` (stderr) as JSON lines, from ``level`` up."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # reports every packet: what is dropped there we count ourselves
    logging.getLogger("mqtt").setLevel(logging.ERROR)


class Streak:
    """Logs the first failure of a row as a warning, its repeats at debug, the recovery at info."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._failures = 0

    def failed(self, message: str, **values: object) -> None:
        """Report one more failure."""
        level = logging.DEBUG if self._failures else logging.WARNING
        self._failures += 1
        self._logger.log(level, message, extra=facts(failures=self._failures, **values))

    def recovered(self, message: str, **values: object) -> None:
        """Report that it works (again)."""
        self._logger.info(message, extra=facts(after_failures=self._failures, **values))
        self._failures = 0
