"""What a crowd of visitors leaves behind: memory that nobody uses goes back to the system."""

import ctypes
import platform
import threading
import time

SECONDS = 30  # between two times; each takes a few milliseconds


def return_memory() -> None:
    """Have glibc give back its free pages, again and again, in the background.

    Of its own accord it keeps some 100 MB for ever once two hundred visitors came at once.
    """
    if platform.libc_ver()[0] == "glibc":
        threading.Thread(target=trim_for_ever, daemon=True).start()


def trim_for_ever() -> None:
    libc = ctypes.CDLL(None)
    while True:
        time.sleep(SECONDS)
        libc.malloc_trim(0)
