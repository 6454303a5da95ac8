"""A tiny training run: two epochs over a few of the sample images.

    python -m tests.tiny FOLDER

trains it in FOLDER as `training.train` would; the kill test does so in another process.
"""

import sys
from pathlib import Path

from training.dataset.sample import tiny_dataset
from training.experiments import Experiment
from training.loop import run

run.CHECKPOINT_SECONDS = 0  # so that even a tiny run has several, and a kill may fall into one
EXPERIMENT = Experiment("tiny", {"size": "small", "dropout": 0.2}, 2)


def tiny_run(folder: Path, experiment: Experiment = EXPERIMENT, images: int = 192) -> run.Run:
    return run.Run(experiment, tiny_dataset(images), folder, device="cpu")


if __name__ == "__main__":
    tiny = tiny_run(Path(sys.argv[1]))
    print("ready", flush=True)
    try:
        tiny.train()
    except run.Stopped as stopped:
        sys.exit(stopped.exit_code)
