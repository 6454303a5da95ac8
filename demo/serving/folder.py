"""The folder of this process: all that visitors send and all that is made for them lies in it.

It is new for each process, so nothing of an earlier one is ever served, and it is deleted in every
way of ending: by the process itself, by a watcher when the process is killed, or by the next start.
"""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import IO

MASK = "/files"  # what visitors see in place of the folder's path
PREFIX = "demo-"
LOCK = ".lock"  # held by the process that the folder belongs to
PARTS = re.compile(r"[^/\x00]+(?:/[^/\x00]+)*")
WATCHER = 'read -r line; rm -rf -- "$1"'  # `read` returns when this process has ended
held: list[object] = []  # the lock and the watcher live as long as this process


@cache
def own_folder() -> Path:
    """Create the folder and make gradio use it; delete those of processes that have ended."""
    base = Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir()) / "gradio")
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
        start_new_session=True,  # a signal to the whole group leaves it alive
    )
    held.extend((lock, watcher))
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    return folder


def delete_abandoned(base: Path) -> None:
    """Delete the folders whose process has ended: nobody holds their lock."""
    for folder in base.glob(f"{PREFIX}*"):
        try:
            with (folder / LOCK).open("r+") as lock:
                if is_free(lock):
                    shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # it has just been created, or just been deleted


def is_free(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def delete_own_folder() -> None:
    shutil.rmtree(own_folder(), ignore_errors=True)


def find_file(path: str) -> Path | None:
    """The file that a visitor's path means, if it lies in the folder and is a regular file."""
    folder = own_folder()
    for prefix in (f"{MASK}/", f"{folder}/"):
        below = path.removeprefix(prefix)
        if below != path and PARTS.fullmatch(below):
            file = folder / below
            try:
                inside = file.resolve(strict=True) == file
            except OSError:
                return None
            return file if inside and file.is_file() and file.name != LOCK else None
    return None


def mask(text: bytes) -> bytes:
    """The same text with the folder's path hidden."""
    return text.replace(str(own_folder()).encode(), MASK.encode())
