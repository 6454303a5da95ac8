"""How a command ends that cannot go on: with one line, a non-zero exit, and nothing half done."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mobilenetv3_cifar import MobileNetV3CifarError


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn errors that a user can act on, and signals, into a line and an exit code."""
    # SIGTERM would end the process where it stands; as an exception it cleans up on its way.
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except (MobileNetV3CifarError, OSError) as error:
        sys.exit(f"error: {error}")
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Meanwhile SIGINT and SIGTERM are put into the list instead of obeyed at once."""
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
