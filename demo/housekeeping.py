"""What visitors leave behind goes: memory that nobody uses, folders that hold nothing."""

import ctypes
import os
import platform
import tempfile
import threading
import time
from pathlib import Path

SECONDS = 30  # between two times; each takes milliseconds
HOUR = 3600


def keep_house() -> None:
    """Tidy up again and again, in the background."""
    threading.Thread(target=tidy_for_ever, daemon=True).start()


def tidy_for_ever() -> None:
    while True:
        time.sleep(SECONDS)
        return_memory()
        remove_empty_folders(uploads_folder())


def return_memory() -> None:
    """Of its own accord glibc keeps some 100 MB for ever once two hundred visitors came at once."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def uploads_folder() -> Path:
    """Where gradio keeps what visitors send, a folder a file; it deletes the files alone."""
    default = Path(tempfile.gettempdir()) / "gradio"
    return Path(os.environ.get("GRADIO_TEMP_DIR", default))


def remove_empty_folders(root: Path) -> None:
    """Remove those in `root` that are empty, and so old that no file is about to come."""
    oldest = time.time() - HOUR
    for folder in root.glob("*/"):
        try:
            if folder.stat().st_mtime < oldest:
                folder.rmdir()  # of a folder that holds something this is an error
        except OSError:
            continue
