"""The log: what is said again and again is said a few times a minute."""

import logging
import time
from collections import Counter

MAX_REPEATS = 5  # of one message in one period
PERIOD = 60  # seconds
LOGGERS = ("asyncio", "uvicorn.error", "demo.serving")


class Limit(logging.Filter):
    """Lets the first few of a message pass, then says how many were left out."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.began = time.monotonic()

    def filter(self, record: logging.LogRecord) -> bool:
        if time.monotonic() - self.began > PERIOD:
            left_out = sum(max(0, count - MAX_REPEATS) for count in self.counts.values())
            self.began = time.monotonic()
            self.counts.clear()
            if left_out:
                record.msg = f"{record.msg} ({left_out} repeated messages were left out)"
        key = f"{record.name} {record.lineno} {str(record.msg)[:200]}"
        self.counts[key] += 1
        return self.counts[key] <= MAX_REPEATS


def limit_logs() -> None:
    limit = Limit()
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.filters = [each for each in logger.filters if not isinstance(each, Limit)]
        logger.addFilter(limit)
