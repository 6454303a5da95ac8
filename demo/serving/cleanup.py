"""Deletes what visitors left behind: by age and by size, as the folder itself shows it."""

import ctypes
import logging
import os
import platform
import time
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from demo.serving.folder import LOCK, own_folder

CLEANUP_SECONDS = 10  # between two cleanups; each takes milliseconds
MAX_AGE = 1800  # seconds that a visitor's file is kept
MAX_BYTES = 1_000_000_000  # of all visitors' files together, on the disk

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    path: Path
    modified: float
    size: int  # bytes on the disk


def entries(folder: Path) -> Iterator[Entry]:
    """Every file below the folder, and every folder that is empty."""
    for root, folders, files in os.walk(folder):
        names = files if files or folders or Path(root) == folder else ["."]
        for name in names:
            path = Path(root, name)
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            yield Entry(path, status.st_mtime, status.st_blocks * 512)


class Cleanup:
    """Deletes files of the process's folder; those that are there when it is made are the page's.

    Args:
        uploads: the files that visitors sent. What was made for them is deleted first when there
            is too much, since a browser has fetched it within seconds.
    """

    def __init__(self, uploads: Container[Path]) -> None:
        self.uploads = uploads
        self.folder = own_folder()
        self.kept = {entry.path for entry in entries(self.folder)} | {self.folder / LOCK}

    def run(self) -> None:
        """Delete what is too old, then from the rest until it is small enough."""
        found = [entry for entry in entries(self.folder) if entry.path not in self.kept]
        found.sort(key=lambda entry: (entry.path in self.uploads, entry.modified))
        total = sum(entry.size for entry in found)
        oldest = time.time() - MAX_AGE
        for entry in found:
            if entry.modified < oldest or total > MAX_BYTES:
                total -= entry.size
                delete(entry.path)
        return_memory()


def delete(path: Path) -> None:
    try:
        if path.is_dir():
            path.rmdir()  # of a folder that has just got a file this is an error
        else:
            path.unlink()
    except OSError as error:
        logger.warning("%s cannot be deleted: %s", path, error.strerror)


def return_memory() -> None:
    """After a burst of visitors glibc holds on to about 100 MB; malloc_trim returns it."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
