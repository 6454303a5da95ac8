"""Manage this process's folder, which contains visitors' uploads and files made for visitors.

Each process creates a new folder, so files of an earlier process are never served. A process
deletes its folder when it stops. If the process is killed, a watcher deletes the folder. If the
watcher is killed too, the next process deletes the folder when it starts.
"""

import fcntl
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

GONE = "the image was not found, or was deleted after half an hour: choose it again"
MASK = "/files"  # visitors see this in place of the folder's path
PREFIX = "demo-"
LOCK = ".lock"  # name of a file that is locked as long as the process runs
WATCHER = 'read -r line; rm -rf -- "$1"'  # `read` waits until the demo's process ends
# Matches relative file paths in which no name starts with a dot, so ".." never matches.
NAMES = r"[\w@-][\w.@-]*(?:/[\w@-][\w.@-]*)*"
held: list[object] = []  # references that keep the lock and the watcher alive
KEPT_SECONDS = 1800  # a visitor can ask about an image again for half an hour
# {kind: maximum size of all its files in bytes}. Files that are made for visitors have their own
# limit, so they do not use up the space for uploads.
KEPT = {"sent": 2000e6, "made": 500e6}


@cache
def own_folder() -> Path:
    """Return this process's folder.

    The first call creates the folder, makes gradio use it, and deletes folders of ended processes.
    """
    base = Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir(), "gradio"))
    base.mkdir(parents=True, exist_ok=True)
    delete_abandoned(base)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base.resolve()))
    lock = (folder / LOCK).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    watcher = subprocess.Popen(
        ["/bin/sh", "-c", WATCHER, "watcher", folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # signals to the server's process group must not end the watcher
    )
    held.extend((lock, watcher))
    for kind in KEPT:
        (folder / kind).mkdir()
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    return folder


def delete_abandoned(base: Path) -> None:
    """Delete each folder in `base` whose lock is free, which means that its process has ended."""
    for folder in base.glob(f"{PREFIX}*"):
        with suppress(OSError), (folder / LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def new_folder(kind: str) -> Path:
    """Create a folder for one image, with a name that nobody can guess. `kind` is a key of KEPT."""
    folder = own_folder() / kind / secrets.token_urlsafe(16)
    folder.mkdir()
    return folder


def delete_old() -> None:
    """Delete files that are older than KEPT_SECONDS.

    If the remaining files of a kind exceed its size limit, delete the oldest of them.
    """
    for kind, size in KEPT.items():
        files = []
        for path in (own_folder() / kind).glob("*/*"):
            with suppress(FileNotFoundError):
                files.append((path.stat(), path))
        total = sum(status.st_blocks * 512 for status, _ in files)
        for status, path in sorted(files, key=lambda entry: entry[0].st_mtime):
            if status.st_mtime < time.time() - KEPT_SECONDS or total > size:
                shutil.rmtree(path.parent, ignore_errors=True)
                total -= status.st_blocks * 512


def find_file(path: str) -> Path | None:
    """Return the file that a masked path (see `mask`) refers to, or None if it does not exist."""
    match = re.fullmatch(rf"{MASK}/({NAMES})", path)
    file = own_folder() / match[1] if match else None
    return file if file and os.path.isfile(file) else None


def mask(value: Any) -> Any:
    """Return a copy of `value` with MASK in place of `own_folder()` in every "path" and "url"."""
    if isinstance(value, list | tuple):
        return [mask(each) for each in value]
    if not isinstance(value, dict):
        return value
    masked = {key: mask(each) for key, each in value.items()}
    for key in ("path", "url"):
        if isinstance(text := masked.get(key), str):
            masked[key] = text.replace(str(own_folder()), MASK)
    return masked
