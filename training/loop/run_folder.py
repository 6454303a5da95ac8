"""Lock the folder of a run, read its newest checkpoint, and format its history as CSV."""

import csv
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from training.errors import TrainingError
from training.loop import checkpoint
from training.loop.checkpoint import State, Tensors


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder of a run. Raise TrainingError if another process has locked it."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=0):
            yield
    except Timeout:
        raise TrainingError(f"another run is training in {folder}") from None


def newest(
    folder: Path, settings: dict[str, Any], environment: dict[str, Any]
) -> tuple[Tensors, State]:
    """Return the tensors and the state of the newest undamaged checkpoint in a run's folder.

    If no checkpoint exists, return an empty dict and a new state. Print a warning if the device or
    PyTorch version has changed since the checkpoint, or if a newer checkpoint is damaged.

    Raises:
        TrainingError: the run began with other `settings`, or all checkpoints are damaged.
    """
    latest = checkpoint.read(folder)
    if latest is None:
        return {}, State(environments=[environment])
    tensors, state, earlier, warnings = latest
    check_settings(folder, earlier, settings)
    for key in ("torch", "device"):
        if (before := state.environments[-1][key]) != environment[key]:
            change = f"{key} was {before} and is now {environment[key]}"
            warnings.append(f"{change}; the results may differ from those of an uninterrupted run")
    for line in warnings:
        print(f"warning: {line}", file=sys.stderr)
    print(f"resuming {folder} at step {state.step}", file=sys.stderr)
    if environment != state.environments[-1]:
        state.environments.append(environment)
    return tensors, state


def check_settings(folder: Path, began: dict[str, Any], settings: dict[str, Any]) -> None:
    """Raise TrainingError unless `settings` equal `began`, the settings of the run in `folder`."""
    differing = [
        f"{key} was {began.get(key)} and is now {settings.get(key)}"
        for key in sorted(began.keys() | settings.keys())
        if began.get(key) != settings.get(key)
    ]
    if differing:
        what = f"the run in {folder} began with other settings: {'; '.join(differing)}"
        raise TrainingError(f"{what}; use the earlier settings, or delete the folder to start over")


def to_columns(history: list[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [epoch[name] for epoch in history] for name in history[0]}


def to_csv(history: list[dict[str, float]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue().encode()
