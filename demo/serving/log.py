"""Limit the size of the server's log, so that no visitor can fill the disk with log records."""

import logging
from collections import Counter

from mobilenetv3_cifar.errors import shorten

MOST = 5  # a line of code writes at most this many log records per `budgets.PERIOD`
LONGEST = 4000  # characters; the middle of a longer message or traceback is cut out
LOGGERS = ("asyncio", "demo", "gradio", "uvicorn")
seen: Counter[tuple[str, int]] = Counter()  # {(file, line): records in this period}


def limit() -> None:
    """Add the filter `is_rare` to LOGGERS and to their children, which do not inherit filters."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in LOGGERS:
            logging.getLogger(name).addFilter(is_rare)


def is_rare(record: logging.LogRecord) -> bool:
    """Shorten a record. Return False if its line of code has logged MOST records in this period."""
    line = record.pathname, record.lineno
    seen[line] += 1
    if seen[line] > MOST:
        return False
    if len(text := record.getMessage()) > LONGEST:
        record.msg, record.args = shorten(text, LONGEST), ()
    if record.exc_info:
        record.exc_text = shorten(logging.Formatter().formatException(record.exc_info), LONGEST)
    return True
