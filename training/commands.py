"""How a command ends that cannot go on: with one line, a non-zero exit, and nothing half done."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mobilenetv3_cifar import MobileNetV3CifarError
from training.checkpoint import CheckpointError
from training.data import DataError
from training.devices import DeviceError
from training.run_folder import TrainingError
from training.stopping import Stopped

EXPECTED = (
    MobileNetV3CifarError,
    CheckpointError,
    DataError,
    DeviceError,
    TrainingError,
    OSError,  # a full disk, a folder that is a file
)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn errors that a user can act on, and signals, into a line and an exit code."""
    # SIGTERM would end the process where it stands; as an exception it cleans up on its way.
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    except Stopped as stopped:
        print(f"stopped by {stopped}; the same command resumes", file=sys.stderr)
        sys.exit(stopped.exit_code)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except EXPECTED as error:
        sys.exit(f"error: {error}")
    finally:
        signal.signal(signal.SIGTERM, before)
