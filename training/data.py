"""Fetch CIFAR-10, verify it and cache it for training.

    python -m training.data

The command first tries files that are already in the data folder, then sources on the internet.
"""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from mobilenetv3_cifar.command_line import command_parser, one_line_errors
from mobilenetv3_cifar.files import replace_files
from training.dataset.cifar10 import CACHE, read_cache
from training.dataset.sources import OFFICIAL_PAGE, SOURCES, assemble
from training.errors import DataError

DOWNLOADS = ".cifar10-downloads"  # a folder in the data folder, kept only if a fetch is interrupted


def prepare(data_dir: Path, say: Callable[[str], None] = print) -> Path:
    """If `data_dir` has no valid cache file, write one. Return the path of the cache file."""
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
            for partial in data_dir.glob(f".{CACHE}.*.partial"):  # left by a killed process
                partial.unlink()
            content = io.BytesIO()
            np.save(content, find_rows(data_dir, say))
            replace_files(data_dir, {CACHE: content.getvalue()})
    except Timeout:
        raise DataError(f"another process is fetching CIFAR-10 into {data_dir}") from None
    return path


def find_rows(data_dir: Path, say: Callable[[str], None]) -> np.ndarray:
    downloads = data_dir / DOWNLOADS
    local = [(s, data_dir) for s in SOURCES if all((data_dir / name).exists() for name in s.files)]
    for source, folder in [*local, *((s, downloads) for s in SOURCES if s.fetch)]:
        say(f"trying {source.name}{f' in {folder}' if folder == data_dir else ''}")
        try:
            if source.fetch and folder == downloads:
                downloads.mkdir(exist_ok=True)
                source.fetch(downloads)
            paths = [folder / name for name in source.files]
            if not all(path.is_file() for path in paths):
                raise DataError(f"{' or '.join(source.files)} is not a regular file")
            rows = assemble(source.read(paths))
            shutil.rmtree(downloads, ignore_errors=True)
            return rows
        except Exception as error:  # a hostile server can provoke any error
            say(f"  {DataError(f'{source.name} cannot be used: {error or type(error).__name__}')}")
            shutil.rmtree(downloads, ignore_errors=True)  # skipped on Ctrl-C, so a retry can resume
    raise DataError(
        "CIFAR-10 could not be fetched from any source; put cifar-10-binary.tar.gz "
        f"(from {OFFICIAL_PAGE}) into {data_dir} and try again"
    )


@one_line_errors()
def main() -> None:
    parser = command_parser("training.data", __doc__)
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="default: data")
    data_dir = parser.parse_args().data_dir
    print(f"{prepare(data_dir)}: 50,000 training and 10,000 test images, verified")


if __name__ == "__main__":
    main()
