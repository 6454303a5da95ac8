"""SIGINT and SIGTERM ask a run to save and stop, rather than end it where it stands."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Meanwhile the signals are put into the list instead of obeyed at once."""
    noted: list[int] = []
    previous = {
        number: signal.signal(number, lambda number, frame: noted.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield noted
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
