"""Atomic writes: a file is either the old one or the new one, whenever the process is killed."""

import os
import secrets
from pathlib import Path


def replace_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write all of them before the first takes its place: a full disk changes nothing.

    A link is replaced, not followed: it may point into a cache that others read.
    """
    partials = {folder / name: partial_of(folder / name) for name in files}
    try:
        for path, partial in partials.items():
            write_through(partial, files[path.name])
        for path, partial in partials.items():
            os.replace(partial, path)
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)
    sync_names(folder)


def write_through(path: Path, content: bytes) -> None:
    """Write a new file, and return when the disk has it; its mode follows the umask."""
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def partial_of(path: Path) -> Path:
    """A name beside `path` that no other save has."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")


def sync_names(folder: Path) -> None:
    """Make renames within a folder last; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
