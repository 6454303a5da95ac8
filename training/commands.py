"""Code that the commands share: an argument parser, and the handling of errors and signals.

Every command imports this module before any module that needs a package of the extra `training`, so
that a missing package gives a one-line error.
"""

import argparse
import importlib.util
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mobilenetv3_cifar import MobileNetV3CifarError

REQUIRED = ("accelerate", "filelock", "jinja2", "matplotlib", "onnxruntime", "pyarrow", "sklearn")
if missing := [name for name in REQUIRED if importlib.util.find_spec(name) is None]:
    names = ", ".join(missing)
    sys.exit(f"error: training needs {names}: pip install 'mobilenetv3-cifar[training]'")


def command_parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser whose help shows the description, usually a docstring, with its line breaks."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Decorate a command: print an error as one line, not a traceback, if a user can act on it.

    SIGINT and SIGTERM end the command with the exit status that shells report for them.
    """
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
