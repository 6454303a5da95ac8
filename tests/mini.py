"""A miniature of the real thing: the shipped sample as data, a short experiment, a run of it.

    python -m tests.mini FOLDER

trains it in FOLDER as `training.train` would; the kill test does so in another process.
"""

import sys
from pathlib import Path

import numpy as np

from training.dataset.cifar10 import Cifar10, Split
from training.experiments import Experiment
from training.loop import run

EXPERIMENT = Experiment("mini", {"size": "small", "dropout": 0.2}, 2)


def mini_data(train_pictures: int = 192) -> Cifar10:
    path = Path(__file__).parent / "data" / "cifar10-sample.npy"
    rows = np.load(path, allow_pickle=False)
    sample = Split(rows[:, 1:].reshape(-1, 32, 32, 3), rows[:, 0])
    held_out = sample.take(slice(-100, None))
    return Cifar10(sample.take(slice(train_pictures)), held_out, held_out, "mini")


def mini_run(folder: Path, experiment: Experiment = EXPERIMENT, pictures: int = 192) -> run.Run:
    return run.Run(experiment, mini_data(pictures), folder, device="cpu")


if __name__ == "__main__":
    run.CHECKPOINT_SECONDS = 0  # after every step, so that a kill may fall into a write
    mini = mini_run(Path(sys.argv[1]))
    print("ready", flush=True)
    try:
        mini.train()
    except run.Stopped as stopped:
        sys.exit(stopped.exit_code)
