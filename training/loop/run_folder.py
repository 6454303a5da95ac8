"""The folder of a run: one trainer at a time, one set of settings, checkpoints to resume from."""

import csv
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import nn
from torch.optim import Optimizer

from mobilenetv3_cifar.files import replace_files
from training.errors import TrainingError
from training.loop import checkpoint
from training.loop.checkpoint import State


class RunFolder:
    """`settings` are what a resumed run must share with its beginning; `environment` should be."""

    def __init__(self, path: Path, settings: dict[str, Any], environment: dict[str, Any]) -> None:
        self.path, self.settings, self.environment = path, settings, environment

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, so that no second trainer writes into it.

        Raises:
            TrainingError: another trainer holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.path / "lock", timeout=0):
                yield
        except Timeout:
            raise TrainingError(f"another run is training in {self.path}") from None

    def resume(
        self, model: nn.Module, optimizer: Optimizer, average: nn.Module | None = None
    ) -> State:
        """Bring model, optimizer and average to the newest checkpoint, if there is one.

        Raises:
            TrainingError: it was made with other settings; the message names them.
        """
        newest = checkpoint.read(self.path)
        if newest is None:
            return State(environments=[self.environment])
        tensors, state, began, damaged = newest
        differing = [
            f"{key} was {began.get(key)} and is now {self.settings.get(key)}"
            for key in sorted(began.keys() | self.settings.keys())
            if began.get(key) != self.settings.get(key)
        ]
        if differing:
            raise TrainingError(
                f"{self.path} began with other settings: {'; '.join(differing)}. "
                "Go back to them, or delete the folder to begin anew"
            )
        checkpoint.unpack(tensors, model, optimizer, average)
        for line in [*damaged, *self.changes_since(state)]:
            print(f"warning: {line}", file=sys.stderr)
        print(f"resuming {self.path} at step {state.step}", file=sys.stderr)
        if self.environment not in state.environments:
            state.environments.append(self.environment)
        return state

    def changes_since(self, state: State) -> list[str]:
        before = state.environments[-1]
        return [
            f"{key} was {before[key]} and is now {self.environment[key]}; "
            "the run goes on, but not bit for bit as it would have"
            for key in ("torch", "device")
            if before[key] != self.environment[key]
        ]

    def save(
        self,
        state: State,
        model: nn.Module,
        optimizer: Optimizer,
        average: nn.Module | None = None,
    ) -> None:
        """Write a checkpoint.

        Raises:
            TrainingError: it cannot be written; the one before is whole.
        """
        try:
            tensors = checkpoint.pack(model, optimizer, average)
            checkpoint.write(self.path, tensors, state, self.settings)
        except OSError as error:
            raise TrainingError(
                f"cannot write a checkpoint in {self.path}: {error}; the one before is whole"
            ) from error

    def write_history(self, history: list[dict[str, float]]) -> None:
        """`history.csv`, which grows by a row per epoch."""
        replace_files(self.path, {"history.csv": to_csv(history)})


def to_csv(history: list[dict[str, float]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue().encode()
