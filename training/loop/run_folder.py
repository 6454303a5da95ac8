"""The folder of a run: one trainer at a time, one set of settings, checkpoints to resume from."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import nn
from torch.optim import Optimizer

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

    def resume(self, model: nn.Module, optimizer: Optimizer) -> State:
        """Bring model and optimiser to the newest checkpoint, if there is one.

        Raises:
            TrainingError: it was made with other settings; the message names them.
        """
        found = checkpoint.read(self.path)
        if found is None:
            return State(environments=[self.environment])
        tensors, state, began, damaged = found
        differing = [
            f"{key} was {began.get(key)!r} and is now {value!r}"
            for key, value in self.settings.items()
            if began.get(key) != value
        ]
        if differing:
            raise TrainingError(
                f"{self.path} began with other settings: {'; '.join(differing)}. "
                "Go back to them, or delete the folder to begin anew"
            )
        checkpoint.unpack(tensors, model, optimizer)
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

    def save(self, model: nn.Module, optimizer: Optimizer, state: State) -> None:
        """Write a checkpoint.

        Raises:
            TrainingError: it cannot be written; the one before is whole.
        """
        try:
            checkpoint.write(self.path, checkpoint.pack(model, optimizer), state, self.settings)
        except OSError as error:
            raise TrainingError(
                f"cannot write a checkpoint in {self.path}: {error}; the one before is whole"
            ) from error
