"""CIFAR-10 (Krizhevsky 2009): fetched from where it can be had, proved by hashes, split once.

    python -m training.data

Several sources carry the same pictures; whichever answers first is decoded, and what proves that
the right data came is a SHA-256 over the decoded pixels and labels of every batch. The result is
cached as one memory-mapped array, a row a picture: the label byte, then 32x32x3 RGB bytes.
"""

import hashlib
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

TRAIN_SIZE = 35_000  # of the 50,000; the other 15,000 validate (the report's valid_size=0.3)
SPLIT_SEED = 0
SPLIT_SHA256 = "7338720c9b8f122329b9eadc27405ece07cb6aa34033eeaa5270e833c1d62b71"


class Split(NamedTuple):
    """Pictures, uint8 (N, 32, 32, 3), and their class indices, uint8 (N,)."""

    images: np.ndarray
    labels: np.ndarray

    def take(self, indices: np.ndarray | slice) -> "Split":
        return Split(self.images[indices], self.labels[indices])

    def __len__(self) -> int:
        return len(self.labels)


class Cifar10(NamedTuple):
    train: Split
    validation: Split
    test: Split
    sha256: str  # over all rows, as stored


def load(data_dir: Path) -> Cifar10:
    """The three splits, from the cache that `python -m training.data` made.

    Raises:
        DataError: there is no cache, or its bytes are not CIFAR-10's.
    """
    path = data_dir / CACHE
    if not path.exists():
        raise DataError(f"no CIFAR-10 in {data_dir}; fetch it with: python -m training.data")
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
        verify(rows)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(
            f"{path} is damaged ({error}); delete it and run: python -m training.data"
        ) from error
    everything = Split(rows[:, 1:].reshape(-1, 32, 32, 3), rows[:, 0])
    train, validation = split_indices()
    return Cifar10(
        everything.take(train),
        everything.take(validation),
        everything.take(slice(50_000, None)),
        hashlib.sha256(rows.tobytes()).hexdigest(),
    )


def split_indices() -> tuple[np.ndarray, np.ndarray]:
    """Which of the 50,000 training pictures train and which validate: one plain permutation.

    RandomState's stream is frozen by NumPy; the pinned hash would tell if it ever changed.
    """
    order = np.random.RandomState(SPLIT_SEED).permutation(50_000).astype("<i8")
    found = hashlib.sha256(order.tobytes()).hexdigest()
    if found != SPLIT_SHA256:
        raise DataError(f"the split is not the pinned one: SHA-256 {found}")
    return order[:TRAIN_SIZE], order[TRAIN_SIZE:]


def verify(rows: np.ndarray) -> None:
    """Raise ValueError unless `rows` is exactly CIFAR-10 in the official order."""
    if rows.shape != (len(BATCHES) * BATCH_ROWS, ROW_BYTES) or rows.dtype != np.uint8:
        raise ValueError(
            f"expected 60000 rows of {ROW_BYTES} bytes, found {rows.dtype} {rows.shape}"
        )
    for index, name in enumerate(BATCHES):
        block = rows[index * BATCH_ROWS : (index + 1) * BATCH_ROWS]
        if digests(block) != HASHES[index]:
            raise ValueError(f"the pictures or labels of {name} are not CIFAR-10's")


def digests(block: np.ndarray) -> tuple[str, str]:
    """SHA-256 of the pixels and of the labels of rows (N, 3073)."""
    pixels, labels = block[:, 1:].tobytes(), block[:, 0].tobytes()
    return hashlib.sha256(pixels).hexdigest(), hashlib.sha256(labels).hexdigest()


def assemble(batches: Iterator[Batch]) -> np.ndarray:
    """Rows (60000, 3073) in the official order, whatever order the source has its batches in.

    Raises:
        SourceError: a batch is none of the six, comes twice or is missing.
    """
    rows = np.zeros((len(BATCHES) * BATCH_ROWS, ROW_BYTES), np.uint8)
    found: set[int] = set()
    for batch in batches:
        block = np.concatenate([batch.labels[:, None], batch.pixels.reshape(-1, 3072)], axis=1)
        try:
            index = HASHES.index(digests(block))
        except ValueError:
            raise SourceError(
                f"{batch.name} does not hold CIFAR-10's pictures and labels"
            ) from None
        if index in found:
            raise SourceError(f"{batch.name} repeats {BATCHES[index]}")
        rows[index * BATCH_ROWS : (index + 1) * BATCH_ROWS] = block
        found.add(index)
    missing = [name for index, name in enumerate(BATCHES) if index not in found]
    if missing:
        raise SourceError(f"missing: {', '.join(missing)}")
    return rows
