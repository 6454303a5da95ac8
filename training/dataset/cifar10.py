"""Load CIFAR-10 (Krizhevsky 2009) from one cache file, verify it by SHA-256, and split it.

`python -m training.data` makes the cache, an array with one row per image. A row is the label byte,
then 32x32x3 RGB bytes.
"""

import hashlib
import math
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from mobilenetv3_cifar.files import read_file
from training.errors import DataError

CACHE = "cifar10.npy"
CACHE_SHAPE = (60_000, 1 + 32 * 32 * 3)  # 50,000 training images, then 10,000 test images
DATA_SHA256 = "6c26dc22248c27188ea71613ba27ba80e119551206d074f556c3fa2df5594a42"  # of all rows

# {split: SHA-256 of its training and validation indices}. The student report uses "35k/15k". The
# training images of "50k" include its validation images, so tune hyperparameters on "45k/5k".
SPLITS = {
    "35k/15k": "7338720c9b8f122329b9eadc27405ece07cb6aa34033eeaa5270e833c1d62b71",
    "45k/5k": "6a1effefa6d9e27b73b6cd71f6bc2c5098581f500c44608644fe91f021dfc6f8",
    "50k": "96695b1c4911b514de2dc766791a7b5898d7a4d6760d3e011e927ee510820525",
}
SPLIT_SEED = 0
TEST = np.arange(50_000, 60_000)


class Split(NamedTuple):
    """Images, uint8 (N, 32, 32, 3), and their class indices, uint8 (N,)."""

    images: np.ndarray
    labels: np.ndarray

    def take(self, indices: np.ndarray | slice) -> "Split":
        return Split(self.images[indices], self.labels[indices])

    def __len__(self) -> int:
        return len(self.labels)


class Cifar10(NamedTuple):
    """The verified dataset, held in memory so that later changes to the cache have no effect."""

    train: Split
    validation: Split
    test: Split
    sha256: str  # hash of all rows of the cache


def load(data_dir: Path, split: str = "35k/15k") -> Cifar10:
    """Load the images of `split` (a key of SPLITS) and the test images from the data folder."""
    train, validation = split_indices(split)
    rows = read_cache(data_dir)
    images = Split(rows[:, 1:].reshape(-1, 32, 32, 3), rows[:, 0])
    return Cifar10(images.take(train), images.take(validation), images.take(TEST), DATA_SHA256)


def load_sample() -> Split:
    """Load the 600 training images in sample.png. Their classes are 0, 1, ..., 9, 0, and so on."""
    sheet = np.asarray(Image.open(Path(__file__).with_name("sample.png")))
    images = sheet.reshape(30, 32, 20, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3)
    return Split(images, np.tile(np.arange(10, dtype=np.uint8), 60))


def split_indices(split: str = "35k/15k") -> tuple[np.ndarray, np.ndarray]:
    """Return the indices, from 0 to 49,999, of the training images and of the validation images.

    NumPy guarantees that RandomState(SPLIT_SEED) always gives the same permutation.
    """
    if split not in SPLITS:
        raise DataError(f"unknown split {split!r}; known splits: {', '.join(SPLITS)}")
    order = np.random.RandomState(SPLIT_SEED).permutation(50_000).astype("<i8")
    small = np.s_[35_000:40_000]
    train, validation = {
        "35k/15k": (order[:35_000], order[35_000:]),
        "45k/5k": (np.sort(np.delete(order, small)), order[small]),
        "50k": (np.sort(order), order[small]),
    }[split]
    sha256 = hashlib.sha256(train.tobytes() + validation.tobytes()).hexdigest()
    if sha256 != SPLITS[split]:
        raise DataError(f"the indices of split {split} have changed: their SHA-256 is {sha256}")
    return train, validation


@cache
def overlap(trained: str, validated: str) -> bool:
    """Return whether any training image of split `trained` is a validation image of `validated`."""
    return bool(np.isin(split_indices(validated)[1], split_indices(trained)[0]).any())


def read_cache(data_dir: Path) -> np.ndarray:
    """Read and verify the cache, an array (60000, 3073), without parsing the file's header."""
    path, size = data_dir / CACHE, math.prod(CACHE_SHAPE)
    advice = "fetch it with: python -m training.data"
    try:
        rows = memoryview(read_file(path, size + 4096))[-size:]
    except FileNotFoundError:
        raise DataError(f"no CIFAR-10 in {data_dir}; {advice}") from None
    except OSError as error:
        raise DataError(f"{error}; {advice}") from error
    if hashlib.sha256(rows).hexdigest() != DATA_SHA256:
        raise DataError(f"{path} is not CIFAR-10; {advice}")
    return np.frombuffer(rows, np.uint8).reshape(CACHE_SHAPE)
