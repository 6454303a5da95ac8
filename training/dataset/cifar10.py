"""CIFAR-10 (Krizhevsky 2009): verified by SHA-256, cached as one file, split by pinned indices.

    python -m training.data

Several sources carry the same images. A hash over the decoded pixels and labels of every batch
shows that the right data came, whatever the source. The cache is one array with a row per image:
the label byte, then 32x32x3 RGB bytes.
"""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from training.dataset.sources import BATCH_ROWS, Batch
from training.errors import DataError, SourceError

BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test")
ROW_BYTES = 1 + 32 * 32 * 3
CACHE = "cifar10.npy"

# SHA-256 over the decoded bytes of each batch, in BATCHES' order: (pixels, labels).
HASHES = (
    (
        "fc115a3de050d667b88cbd5b0b9612ebf996c54230fe7758f3a14bb5af9a1c27",
        "d829dbdf32167c9d7b3687cee66d92d80d46c441308b5aca0d11e8b69e27dac9",
    ),
    (
        "89e609b642f687bc796fa3bfa4211005582a0e8131d463d996d11ddb297d312e",
        "5d18f7371ed35ea9ade77952fe958b0660a45cd6c8b8a8970030f21612cfd7e3",
    ),
    (
        "93a365823e61729490a8801d80864ccd0ab1e8c98f19d71af65644d1c5f1486e",
        "32cf77b0ee2e790b1c4384d2d82e42dc1571b87e67f6da8f444b2725b2973f65",
    ),
    (
        "809eb95ecd057a36516318f5023ea619009dd70dd38193db9da43125a928e6fa",
        "d2815e3f8f656272864920fc0edde56b04ec9cf81bf397c0dd3069f4aea51aeb",
    ),
    (
        "d05b7d66d216d6df882cc760cdc0ff2f1f0437abf699ed16005c021ef0add9cb",
        "2ddf3ab27d5d04409c94ce7b56849c243129c10de1058ae0bfe14c77e934800c",
    ),
    (
        "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
        "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
    ),
)

DATA_SHA256 = (
    "6c26dc22248c27188ea71613ba27ba80e119551206d074f556c3fa2df5594a42"  # over all rows, as stored
)

# The names that a recipe may use, with the SHA-256 over the indices, train then validation.
# "50k" trains on every training image; its validation images are among them, so its validation
# figures must not be used to choose anything: choose with "45k/5k", which validates on the same.
SPLITS = {
    "35k/15k": "7338720c9b8f122329b9eadc27405ece07cb6aa34033eeaa5270e833c1d62b71",  # the report's
    "45k/5k": "6a1effefa6d9e27b73b6cd71f6bc2c5098581f500c44608644fe91f021dfc6f8",
    "50k": "96695b1c4911b514de2dc766791a7b5898d7a4d6760d3e011e927ee510820525",
}
SPLIT_SEED = 0


class Split(NamedTuple):
    """Images, uint8 (N, 32, 32, 3), and their class indices, uint8 (N,)."""

    images: np.ndarray
    labels: np.ndarray

    def take(self, indices: np.ndarray | slice) -> "Split":
        return Split(self.images[indices], self.labels[indices])

    def __len__(self) -> int:
        return len(self.labels)


class Cifar10(NamedTuple):
    """The dataset, held in memory: what was verified cannot change while it is used."""

    train: Split
    validation: Split
    test: Split
    sha256: str  # over all rows, as stored
    split: str = "35k/15k"  # a key of SPLITS


def load(data_dir: Path, split: str = "35k/15k") -> Cifar10:
    """Train, validation and test images from the cache that `python -m training.data` made.

    split: "35k/15k", "45k/5k" or "50k"; see SPLITS.

    Raises:
        DataError: there is no cache, its bytes are not CIFAR-10's, or no split has that name.
    """
    train, validation = split_indices(split)
    rows = read_cache(data_dir)
    everything = Split(rows[:, 1:].reshape(-1, 32, 32, 3), rows[:, 0])
    return Cifar10(
        everything.take(train),
        everything.take(validation),
        everything.take(np.arange(5 * BATCH_ROWS, 6 * BATCH_ROWS)),
        DATA_SHA256,
        split,
    )


def split_indices(split: str = "35k/15k") -> tuple[np.ndarray, np.ndarray]:
    """Which of the 50,000 training images train and which validate, int64 indices.

    One permutation gives them all: 35,000 images, then the 15,000 on which the report validates;
    the first 5,000 of those validate in the other splits. RandomState's stream is frozen by NumPy;
    the pinned hashes would tell if it ever changed.
    """
    if split not in SPLITS:
        raise DataError(f"no split is called {split!r}; there are: {', '.join(SPLITS)}")
    order = np.random.RandomState(SPLIT_SEED).permutation(50_000).astype("<i8")
    if split == "35k/15k":
        train, validation = order[:35_000], order[35_000:]
    else:
        validation = order[35_000:40_000]
        train = np.sort(order if split == "50k" else np.delete(order, np.s_[35_000:40_000]))
    sha256 = hashlib.sha256(train.tobytes() + validation.tobytes()).hexdigest()
    if sha256 != SPLITS[split]:
        raise DataError(f"split {split} is not the pinned one: SHA-256 {sha256}")
    return train, validation


def read_cache(data_dir: Path) -> np.ndarray:
    """The verified rows (60000, 3073), read into memory.

    The header is compared, not parsed: a file that claims another shape is not read at all.

    Raises:
        DataError: there is no cache, or its bytes are not CIFAR-10's.
    """
    path = data_dir / CACHE
    if not path.exists():
        raise DataError(f"no CIFAR-10 in {data_dir}; fetch it with: python -m training.data")
    damage = DataError(f"{path} is not CIFAR-10; fetch it again with: python -m training.data")
    if not path.is_file():
        raise damage
    rows = np.empty((len(BATCHES) * BATCH_ROWS, ROW_BYTES), np.uint8)
    header = npy_header(rows)
    try:
        with open(path, "rb") as file:
            complete = file.read(len(header)) == header and file.readinto(rows.data) == rows.nbytes
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not complete or hashlib.sha256(rows.data).hexdigest() != DATA_SHA256:
        raise damage
    return rows


def npy_header(rows: np.ndarray) -> bytes:
    """The bytes with which a .npy file of `rows` begins."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(rows))
    return header.getvalue()


def digests(block: np.ndarray) -> tuple[str, str]:
    """SHA-256 of the pixels and of the labels of rows (N, 3073)."""
    pixels, labels = block[:, 1:].tobytes(), block[:, 0].tobytes()
    return hashlib.sha256(pixels).hexdigest(), hashlib.sha256(labels).hexdigest()


def assemble(batches: Iterator[Batch]) -> np.ndarray:
    """Rows (60000, 3073) in the official order, whatever the order of the source's batches.

    Raises:
        SourceError: a batch is not one of the six, is repeated or is missing.
    """
    rows = np.zeros((len(BATCHES) * BATCH_ROWS, ROW_BYTES), np.uint8)
    found: set[int] = set()
    for batch in batches:
        block = np.concatenate([batch.labels[:, None], batch.pixels.reshape(-1, 3072)], axis=1)
        try:
            index = HASHES.index(digests(block))
        except ValueError:
            raise SourceError(f"{batch.name} does not hold CIFAR-10's images and labels") from None
        if index in found:
            raise SourceError(f"{batch.name} repeats {BATCHES[index]}")
        rows[index * BATCH_ROWS : (index + 1) * BATCH_ROWS] = block
        found.add(index)
    missing = [name for index, name in enumerate(BATCHES) if index not in found]
    if missing:
        raise SourceError(f"missing: {', '.join(missing)}")
    return rows
