"""Downloads with budgets: a minimum rate, a maximum size, resumable, cleaned up.

A server may send the wrong file, never end, or send a few bytes a minute; each ends in a
SourceError within seconds, so that the next source is tried.
"""

import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import InvalidURL
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from training.errors import SourceError

TIMEOUT = 10  # seconds that a server may take to accept a connection or to send anything
WINDOW = 30  # seconds over which the rate is measured
MIN_RATE = 50_000  # bytes a second; with MAX_BYTES this also bounds the time, to about an hour
MAX_BYTES = 200_000_000  # the largest packaging has 170 MB
POLL = 0.2  # seconds between two looks at the progress


class Transfer(threading.Thread):
    """Appends what `url` sends to `partial`; `error` says why it stopped early.

    A thread, since a socket's timeout restarts at every byte: whoever waits for it can give up.
    """

    def __init__(self, url: str, partial: Path) -> None:
        super().__init__(daemon=True)
        self.url, self.partial = url, partial
        self.size = partial.stat().st_size if partial.exists() else 0
        self.error: Exception | None = None
        self.abandoned = False

    def run(self) -> None:
        try:
            self.copy()
        except Exception as error:  # whatever a hostile server provokes ends this source alone
            self.error = error

    def copy(self) -> None:
        headers = {"Range": f"bytes={self.size}-"} if self.size else {}
        request = urllib.request.Request(self.url, headers=headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            if self.abandoned:
                return
            if answer.status != 206:  # the whole file, from its beginning
                self.size = 0
            total = self.size + int(answer.headers.get("Content-Length", 0))
            with open(self.partial, "ab") as file:
                file.truncate(self.size)
                while not self.abandoned and (block := answer.read1(1 << 16)):
                    file.write(block)
                    self.size += len(block)
        if self.size < total:
            raise SourceError(f"ended after {self.size} of {total} bytes; run again to resume")

    def finished(self, seconds: float) -> bool:
        self.join(seconds)
        return not self.is_alive()


def download(url: str, path: Path) -> None:
    """Fetch `url` into `path`, which appears only when complete; what is there is not fetched.

    An unfinished download stays beside it as `<name>.partial`, and the next call resumes it.

    Raises:
        SourceError: unreachable, refused, too slow, too large or incomplete.
    """
    if path.exists():
        return
    partial = path.with_name(path.name + ".partial")
    transfer = Transfer(url, partial)
    try:
        transfer.start()
        follow(path.name, lambda: transfer.size, transfer.finished)
        if transfer.error:
            raise transfer.error
    except Exception as error:
        # Of no use to the next call: too long, or (416) not the beginning of what is there now.
        if transfer.size > MAX_BYTES or isinstance(error, urllib.error.HTTPError):
            partial.unlink(missing_ok=True)
        # The host alone: the rest of an address may hold a password.
        raise SourceError(f"{urlsplit(url).hostname}: {one_line(error)}") from error
    finally:
        transfer.abandoned = True
    partial.replace(path)


def run_in(folder: Path, command: list[str]) -> None:
    """Run a command that downloads into `folder`, under the same budgets.

    Raises:
        SourceError: it failed, or was ended for being too slow or too large.
    """
    log = folder / "stderr"
    with open(log, "wb") as stderr:
        process = subprocess.Popen(command, cwd=folder, stdout=stderr, stderr=stderr)

    def finished(seconds: float) -> bool:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    try:
        # npm keeps a second copy in its cache, which lies in `folder` as well.
        follow(command[0], lambda: size_of(folder), finished, copies=2)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        message = log.read_bytes()[:200].decode(errors="replace").strip()
        raise SourceError(f"{command[0]} failed: {message or 'no message'}".replace("\n", " "))


def follow(
    name: str, size: Callable[[], int], finished: Callable[[float], bool], copies: int = 1
) -> None:
    """Wait until `finished(seconds)`; raise SourceError when `size()` grows too slowly or much."""
    since, before, done = time.monotonic(), size(), False
    with tqdm(desc=name, initial=before, unit="B", unit_scale=True, leave=False) as bar:
        while not done:
            done = finished(POLL)
            now, received = time.monotonic(), size()
            bar.update(received - bar.n)
            if received > copies * MAX_BYTES:
                raise SourceError(f"sent more than {MAX_BYTES:,} bytes")
            if now - since >= WINDOW and not done:
                if received - before < MIN_RATE * WINDOW:
                    raise SourceError(f"sent {received - before:,} bytes in {WINDOW} seconds")
                since, before = now, received


def size_of(folder: Path) -> int:
    """Bytes of all files below; what vanishes meanwhile counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except FileNotFoundError:
            continue
    return total


def fresh(folder: Path) -> Path:
    """An empty folder in the place of whatever an earlier, killed call left there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def one_line(error: BaseException) -> str:
    """At most 200 characters, for any exception."""
    if isinstance(error, SourceError):
        return str(error)
    if isinstance(error, InvalidURL):  # quotes the address, and a password in it
        return "not a valid address"
    cause = getattr(error, "reason", error) if type(error) is urllib.error.URLError else error
    text = " ".join(str(cause).split())[:200]
    return text if text and isinstance(error, OSError) else f"{type(error).__name__}: {text}"
