"""Fetch CIFAR-10, verify it and cache it for training.

python -m training.data
"""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from mobilenetv3_cifar.files import replace_files
from training.commands import one_line_errors
from training.dataset import sources
from training.dataset.cifar10 import CACHE, assemble, npy_header, read_cache
from training.dataset.download import one_line
from training.dataset.sources import Source
from training.errors import DataError, SourceError

DOWNLOADS = "downloads"  # below the data folder: unfinished downloads, removed after success


def prepare(data_dir: Path, say: Callable[[str], None] = print) -> Path:
    """Make the verified cache in `data_dir` unless it is there already; return its path.

    Archives that lie in `data_dir` come first, then the sources that need a network.

    Raises:
        DataError: no source gave the right data; the message has a line for each.
    """
    path = data_dir / CACHE
    if path.exists():
        try:
            read_cache(data_dir)
            return path
        except DataError as error:
            say(str(error))
    data_dir.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(data_dir / ".lock", timeout=0):
            make_cache(data_dir, say)
    except Timeout:
        raise DataError(f"another process is fetching CIFAR-10 into {data_dir}") from None
    return path


def make_cache(data_dir: Path, say: Callable[[str], None]) -> None:
    for partial in data_dir.glob(f".{CACHE}.*.partial"):  # of a process killed while it wrote
        partial.unlink()
    downloads = data_dir / DOWNLOADS
    attempts = [
        (f"{source.name} in {data_dir}", decoded, source, data_dir)
        for source in sources.SOURCES
        if all((data_dir / name).exists() for name in source.files)
    ]
    attempts += [(source.name, fetched, source, downloads) for source in sources.SOURCES]
    failures = []
    for name, rows_of, source, folder in attempts:
        say(f"trying {name}")
        try:
            rows = rows_of(source, folder)
        except SourceError as error:
            failures.append(f"  {name}: {error}")
            say(failures[-1])
            continue
        # One copy of 184 MB, not three.
        replace_files(data_dir, {CACHE: b"".join((npy_header(rows), rows.data))})
        shutil.rmtree(downloads, ignore_errors=True)
        return
    raise DataError(
        f"CIFAR-10 could not be fetched from any source:\n{chr(10).join(failures)}\n"
        f"put cifar-10-binary.tar.gz (from {sources.OFFICIAL_PAGE}) into {data_dir} and try again"
    )


def fetched(source: Source, folder: Path) -> np.ndarray:
    """Rows from files that are downloaded into `folder`; what is not CIFAR-10 is deleted."""
    folder.mkdir(exist_ok=True)
    source.fetch(folder)
    try:
        return decoded(source, folder)
    except SourceError:
        for name in source.files:
            (folder / name).unlink()
        raise


def decoded(source: Source, folder: Path) -> np.ndarray:
    """Rows from a source's files; whatever a decoder raises on a bad file becomes a SourceError."""
    paths = [folder / name for name in source.files]
    for path in paths:
        if not path.is_file():
            raise SourceError(f"{path.name} is not a regular file")
    try:
        return assemble(source.read(paths))
    except Exception as error:
        names = " and ".join(source.files)
        raise SourceError(f"{names} cannot be used: {one_line(error)}") from error


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.data", description=prepare.__doc__)
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="default: data")
    data_dir = parser.parse_args().data_dir
    with one_line_errors():
        print(f"{prepare(data_dir)}: 50,000 training and 10,000 test images, verified")


if __name__ == "__main__":
    main()
