"""Fetch CIFAR-10, verify it and cache it for training.

python -m training.data
"""

import argparse
import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mobilenetv3_cifar.files import replace_files
from mobilenetv3_cifar.preprocessing import LABELS
from training.dataset import sources
from training.dataset.cifar10 import CACHE, assemble, load
from training.errors import DataError, SourceError


def prepare(data_dir: Path, say: Callable[[str], None] = print) -> Path:
    """Fetch CIFAR-10 into `data_dir` unless it is there already; return the cache's path.

    Raises:
        DataError: no source gave the right data; the message has a line for each.
    """
    path = data_dir / CACHE
    if path.exists():
        load(data_dir)
        return path
    data_dir.mkdir(parents=True, exist_ok=True)
    failures = []
    for source in sources.SOURCES:
        try:
            say(f"trying {source.name}")
            write_cache(data_dir, assemble(source.read(source.fetch(data_dir))))
            return path
        except SourceError as error:
            failures.append(f"  {source.name}: {error}")
            say(failures[-1])
    raise DataError(
        f"CIFAR-10 could not be had from any source:\n{chr(10).join(failures)}\n"
        f"put cifar-10-binary.tar.gz (from {sources.OFFICIAL_PAGE}) into {data_dir} and try again"
    )


def write_cache(data_dir: Path, rows: np.ndarray) -> None:
    """The file appears whole or not at all, so that a kill at any moment leaves no half cache."""
    content = io.BytesIO()
    np.save(content, rows, allow_pickle=False)
    replace_files(data_dir, {CACHE: content.getvalue()})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.data", description=prepare.__doc__)
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="default: data")
    try:
        data_dir = parser.parse_args().data_dir
        path = prepare(data_dir)
        data = load(data_dir)
    except (DataError, OSError) as error:
        sys.exit(f"error: {error}")
    print(
        f"{path}: {len(data.train)} train, {len(data.validation)} validation, {len(data.test)} test"
    )
    print(f"{len(LABELS)} classes; pixels and labels verified")


if __name__ == "__main__":
    main()
