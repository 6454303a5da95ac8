"""Parse arguments, and handle errors and signals, for commands outside this package."""

import argparse
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mobilenetv3_cifar.errors import MobileNetV3CifarError


def command_parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser for `python -m MODULE`. The help keeps the description's line breaks."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


@contextmanager
def one_line_errors() -> Iterator[None]:
    """If an error occurs that the user can act on, exit with one line instead of a traceback."""
    # By default, SIGTERM kills the process. Raising SystemExit instead lets cleanup code run.
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except (MobileNetV3CifarError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"error: {error}")
    finally:
        signal.signal(signal.SIGTERM, before)
