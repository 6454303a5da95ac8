"""Delay the handling of signals, so that a run can save its state first."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def deferred_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list instead of handling them immediately."""
    deferred: list[int] = []
    previous = {
        number: signal.signal(number, lambda number, frame: deferred.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield deferred
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
