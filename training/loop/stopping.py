"""SIGINT and SIGTERM ask a run to save and stop, rather than end it where it stands."""

import signal
from types import FrameType


class Stopped(BaseException):
    """A signal asked the run to stop, and its state is saved."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum  # as shells have it


class StopSignals:
    """While entered, the signals are noted in `received` instead of obeyed at once."""

    def __enter__(self) -> "StopSignals":
        self.received = 0
        watched = (signal.SIGINT, signal.SIGTERM)
        self.previous = {number: signal.signal(number, self.note) for number in watched}
        return self

    def note(self, signum: int, frame: FrameType | None) -> None:
        self.received = signum

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)
