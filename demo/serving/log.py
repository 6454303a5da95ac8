"""Limit the size of the server's log, so that no visitor can make the log fill the disk."""

import logging
from collections import Counter

MOST = 5  # the maximum number of log records that a line of code writes per `budgets.PERIOD`
HALF = 2000  # characters kept at the start and at the end of a long text
LOGGERS = ("asyncio", "demo", "gradio", "uvicorn")
seen: Counter[tuple[str, int]] = Counter()  # {(file, line): records in this period}


def limit() -> None:
    """Add the filter `is_rare` to the LOGGERS, and to their children, which inherit no filters."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in LOGGERS:
            logging.getLogger(name).addFilter(is_rare)


def is_rare(record: logging.LogRecord) -> bool:
    """Cut long texts, and drop all but the first MOST records of a line of code in each period."""
    place = record.pathname, record.lineno
    seen[place] += 1
    if seen[place] > MOST:
        return False
    if len(text := record.getMessage()) > 2 * HALF:
        record.msg, record.args = cut(text), ()
    if record.exc_info:
        record.exc_text = cut(logging.Formatter().formatException(record.exc_info))
    return True


def cut(text: str) -> str:
    return text if len(text) <= 2 * HALF else f"{text[:HALF]} [...] {text[-HALF:]}"
