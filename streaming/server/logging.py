"""Log lines as text or JSON. API keys and tickets are in neither."""

from __future__ import annotations

import logging
import re

from pythonjsonlogger.json import JsonFormatter

from streaming.events.plain import plain_text
from streaming.web.request_log import RequestFields

#: The format of text lines: gunicorn's.
TEXT = "[%(asctime)s] [%(process)d] [%(levelname)s] %(name)s: %(message)s"
TIME = "%Y-%m-%d %H:%M:%S %z"

#: Maximum characters of one line, traceback included.
LINE = 1 << 20
_SECRETS = re.compile(
    r"(?P<before>[?&]ticket=|\bbearer\s+|\btkt_|\bstk_[0-9a-f]{8}_)[^\s&\"'\\,]+", re.IGNORECASE
)
_JOB = re.compile(r"\bjob_[0-9A-HJKMNP-TV-Z]{26}\b")


def redact(text: str) -> str:
    """The text without keys and tickets, and without what an encoder would refuse."""
    return plain_text(_SECRETS.sub(r"\g<before>***", text), LINE)


class TextLines(logging.Formatter):
    """One line of text per record."""

    def __init__(self, form: str = TEXT) -> None:
        super().__init__(form, TIME)

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class JsonLines(JsonFormatter):
    """One JSON object per record, with its subject: `job`, `owner`, `request_id` and the like."""

    def __init__(self) -> None:
        fields = {"asctime": "at", "levelname": "level", "name": "logger", "process": "process"}
        form = " ".join(f"%({name})s" for name in [*fields, "message"])
        super().__init__(form, "%Y-%m-%dT%H:%M:%S%z", rename_fields=fields)

    def format(self, record: logging.LogRecord) -> str:
        if not hasattr(record, "job"):
            found = _JOB.search(record.getMessage())
            if found is not None:
                record.job = found[0]
        return redact(super().format(record))


def make_formatter(kind: str, form: str = TEXT) -> logging.Formatter:
    """The formatter for `text` or `json`."""
    return JsonLines() if kind == "json" else TextLines(form)


def keep_ours() -> None:
    """Have our loggers speak where the app configures its own by `logging.config`, which turns off
    all that there are before it, unless it is told `disable_existing_loggers=False`."""
    for name, found in list(logging.Logger.manager.loggerDict.items()):
        if name.startswith("streaming.") and isinstance(found, logging.Logger):
            found.disabled = False


def log_to_stderr(kind: str) -> None:
    """Our log lines in gunicorn's form, unless the app has arranged logging by itself."""
    log = logging.getLogger("streaming")
    if log.hasHandlers():
        return
    handler = logging.StreamHandler()
    handler.setFormatter(make_formatter(kind))
    handler.addFilter(RequestFields())
    log.addHandler(handler)
    log.setLevel(logging.INFO)
