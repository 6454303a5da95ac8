"""Train a network on a few sample images, enlarged to 64x64 pixels, for tests of training.

    python -m tests.tiny FOLDER EPOCHS

This command starts or resumes the run in FOLDER, and trains until it has EPOCHS epochs in total.
Some tests kill the command's process or send it a signal.
"""

import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training.dataset.cifar10 import Cifar10, load_sample
from training.experiments import Experiment
from training.loop import checkpoint, run
from training.loop.augmentation import EnlargeRotate, Flip
from training.recipe import Recipe

run.CHECKPOINT_SECONDS = 0  # save often, so that a kill may interrupt a save
RECIPE = Recipe(augmentations=(Flip(), EnlargeRotate(10.0, 64)))
EXPERIMENT = Experiment("tiny", {"size": "small", "dropout": 0.2, "image_size": 64}, 2, RECIPE)
ROOT = Path(__file__).parent.parent
PATIENCE = 120  # seconds that a process may take to import torch, or to end


def tiny_dataset(train_images: int = 192) -> Cifar10:
    """Return `train_images` sample images for training and the last 100 for validation and test."""
    sample = load_sample()
    held_out = sample.take(slice(-100, None))
    return Cifar10(sample.take(slice(train_images)), held_out, held_out, "tiny")


def tiny_run(
    folder: Path,
    experiment: Experiment = EXPERIMENT,
    shorter: Sequence[Experiment] = (),
    images: int = 192,
    device: str = "cpu",
) -> run.Run:
    return run.Run(experiment, tiny_dataset(images), folder, shorter, device=device)


def final_state(folder: Path) -> tuple[dict[str, bytes], list[dict[str, float]], dict[str, Any]]:
    """Return the tensors, the history without durations, and the settings of a finished run.

    An interruption of the run must change none of these values.
    """
    tensors, state, settings, _ = checkpoint.read(folder)
    history = [{k: v for k, v in row.items() if k != "seconds"} for row in state.history]
    return {name: value.numpy().tobytes() for name, value in tensors.items()}, history, settings


class Child:
    """The tiny run in a separate process. No method waits longer than PATIENCE seconds."""

    def __init__(self, process: subprocess.Popen, log: Path) -> None:
        self.process, self.log = process, log

    def wait_until(self, condition: Callable[[], object]) -> None:
        limit = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < limit, self.log.read_text()
            time.sleep(0.02)

    def wait(self) -> int:
        return self.process.wait(PATIENCE)


@contextmanager
def started(folder: Path, epochs: int = EXPERIMENT.epochs) -> Iterator[Child]:
    """Start the tiny run in a process, wait until it is ready, and kill it when the block ends."""
    log = folder.with_name(f"{folder.name}.log")
    with open(log, "w") as file:
        command = [sys.executable, "-m", "tests.tiny", str(folder), str(epochs)]
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
    try:
        child = Child(process, log)
        child.wait_until(lambda: "ready" in log.read_text())
        yield child
    finally:
        process.kill()
        process.wait(PATIENCE)


if __name__ == "__main__":
    experiment = dataclasses.replace(EXPERIMENT, epochs=int(sys.argv[2]))
    tiny = tiny_run(Path(sys.argv[1]), experiment)
    print("ready", flush=True)
    tiny.train()
