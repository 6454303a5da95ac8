"""600 training images of CIFAR-10 that ship with the repository, 60 of each class.

Tests and benchmarks use them where the whole dataset would only take time.
"""

from pathlib import Path

import numpy as np

from training.dataset.cifar10 import Split

PATH = Path(__file__).with_name("sample.npy")


def load_sample() -> Split:
    rows = np.load(PATH, allow_pickle=False)
    return Split(rows[:, 1:].reshape(-1, 32, 32, 3), rows[:, 0])
