"""What operators read on stderr: one line each, a constant message and the values as fields.

    2031-05-04T10:21:07.123Z WARNING router: a provider was left out provider=ollama reason="it does not answer"

The journal is the record; these lines only say what an operator may have to act on. Everything that logs through the
standard library comes out in the same shape. Traces of exceptions are shown at level `debug` only.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec
import orjson

LogLevel = Literal["debug", "info", "warning", "error"]

_FIELDS: Final = "agora_fields"


class LogOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What operators see on stderr."""

    level: LogLevel = "info"
    """Of `serve`; other commands show warnings and errors, unless this asks for less."""


class Log:
    """Writes lines under one name: `Log("router").warning("a provider was left out", provider="ollama")`."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, message: str, **fields: object) -> None:
        self._logger.debug(message, extra={_FIELDS: fields})

    def info(self, message: str, **fields: object) -> None:
        self._logger.info(message, extra={_FIELDS: fields})

    def warning(self, message: str, **fields: object) -> None:
        self._logger.warning(message, extra={_FIELDS: fields})

    def error(self, message: str, **fields: object) -> None:
        self._logger.error(message, extra={_FIELDS: fields})


class LineFormatter(logging.Formatter):
    """Formats a record as one line; text that could break the line is quoted."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        words = [f"{time} {record.levelname} {record.name}: {_one_line(record.getMessage())}"]
        fields = getattr(record, _FIELDS, {})
        if isinstance(fields, dict):
            words += [f"{name}={_quoted(value)}" for name, value in fields.items()]
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            words.append(f"error={_quoted(f'{type(error).__name__}: {error}')}")
        line = " ".join(words)
        if record.exc_info and logging.getLogger().isEnabledFor(logging.DEBUG):
            line += "\n" + self.formatException(record.exc_info)
        return line


def configure(level: LogLevel) -> None:
    """Send everything of `level` and above to stderr, in this shape; called once, by the command line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # The libraries below are talkative at info; what they have to say to an operator is a warning.
    for library in ("asyncio", "aiohttp", "aiosqlite", "uvicorn", "uvicorn.access", "uvicorn.error", "websockets"):
        logging.getLogger(library).setLevel(max(logging.WARNING, root.level))


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n").replace("\r", "\\r")


def _quoted(value: object) -> str:
    text = str(value)
    if text and text.isprintable() and not any(character in text for character in ' "='):
        return text
    return orjson.dumps(text).decode()
