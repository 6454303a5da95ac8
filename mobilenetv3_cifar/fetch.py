"""One file of the Hugging Face Hub: found, and downloaded within a budget of bytes and of time.

The content is checked against the hash that the Hub states. Nothing that a server sends becomes a
file name.
"""

import hashlib
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple, TypeVar

from huggingface_hub import HfFileMetadata, get_hf_file_metadata, get_session, hf_hub_url
from huggingface_hub.utils import build_hf_headers

from mobilenetv3_cifar.errors import HubError, MobileNetV3CifarError, ModelFolderError

SECONDS_TO_READ = 10.0  # of silence within an answer
SECONDS_FOR_METADATA = 30.0
SECONDS_TO_DOWNLOAD = 600.0  # all attempts together
ATTEMPTS = 3
GRACE_SECONDS = 20.0  # after that, MIN_BYTES_PER_SECOND must have arrived on average
MIN_BYTES_PER_SECOND = 10_000
COMMIT = re.compile(r"[0-9a-f]{40}")
SERVER_ERROR = "the Hub returned a server error; retry: it is safe even if a push went through"
T = TypeVar("T")


class RemoteFile(NamedTuple):
    """A file of the Hub, at the commit that its revision named."""

    commit: str
    url: str
    size: int | None
    hash: str | None  # SHA-256 of a large file, git's hash of a small one


def find_file(
    repo_id: str, name: str, revision: str | None, token: str | bool | None
) -> RemoteFile:
    """Where a file of a repository is, by one HEAD request.

    Raises:
        Exception: any of the client's errors; to be called within `hub_errors`.
    """

    def ask() -> HfFileMetadata:
        url = hf_hub_url(repo_id, name, revision=revision)
        return get_hf_file_metadata(url, token=token, timeout=SECONDS_TO_READ)

    found = within(SECONDS_FOR_METADATA, ask)
    if found.commit_hash is None or not COMMIT.fullmatch(found.commit_hash):
        raise OSError("the answer names no commit; is this server a Hugging Face Hub?")
    url = hf_hub_url(repo_id, name, revision=found.commit_hash)
    return RemoteFile(found.commit_hash, url, found.size, found.etag)


def fetch_file(file: RemoteFile, token: str | bool | None, limit: int) -> bytes:
    """The content of a file of at most `limit` bytes, checked against the Hub's hash.

    Raises:
        ModelFolderError: it is larger, or was damaged on the way.
        Exception: any of the client's errors; to be called within `hub_errors`.
    """
    name = file.url.rpartition("/")[2]
    if file.size is not None and file.size > limit:
        raise ModelFolderError(f"{name} on the Hub is refused: larger than {limit} bytes")
    content = within(SECONDS_TO_DOWNLOAD, lambda: read_whole(file, token, limit))
    if is_damaged(content, file.hash):
        raise ModelFolderError(f"{name} was damaged on its way from the Hub: load it again")
    return content


def read_whole(file: RemoteFile, token: str | bool | None, limit: int) -> bytes:
    """The content, after a few attempts if the connection breaks or the server fails."""
    for attempts_left in reversed(range(ATTEMPTS)):
        try:
            content = read_stream(file.url, token, limit)
            if file.size not in (None, len(content)):
                raise OSError(f"{len(content)} of {file.size} bytes arrived: try again")
            break
        except MobileNetV3CifarError:
            raise
        except Exception:  # of the HTTP client, whose errors have no common public name
            if not attempts_left:
                raise
            time.sleep(1)
    return content


def read_stream(url: str, token: str | bool | None, limit: int) -> bytes:
    """One GET request; the client drops the token where it is redirected to another host."""
    headers = build_hf_headers(token=token) | {"Accept-Encoding": "identity"}
    begin = time.monotonic()
    content = bytearray()
    with get_session().stream(
        "GET", url, headers=headers, follow_redirects=True, timeout=SECONDS_TO_READ
    ) as response:
        if response.status_code != 200:
            raise OSError(f"{SERVER_ERROR} (status {response.status_code})")
        for chunk in response.iter_raw():
            content += chunk
            if len(content) > limit:
                raise ModelFolderError(f"the Hub sent more than {limit} bytes: refused")
            seconds = time.monotonic() - begin
            if seconds > GRACE_SECONDS and len(content) < seconds * MIN_BYTES_PER_SECOND:
                raise HubError(f"too slow: {len(content)} bytes arrived in {seconds:.0f} seconds")
    return bytes(content)


def is_damaged(content: bytes, expected: str | None) -> bool:
    """Whether content differs from the Hub's SHA-256, or from git's hash that small files have.

    A server that states neither leaves the check to the hashes in config.json.
    """
    if expected is None or not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", expected):
        return False
    if len(expected) == 64:
        return hashlib.sha256(content).hexdigest() != expected
    git_object = b"blob %d\0" % len(content) + content
    return hashlib.sha1(git_object, usedforsecurity=False).hexdigest() != expected


def within(seconds: float, work: Callable[[], T]) -> T:
    """The result of `work`, in a thread: looking up a host or reading headers may hang."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return future.result(timeout=seconds)
    except TimeoutError as error:
        if future.done():
            raise
        raise OSError(f"no complete answer arrived within {seconds:g} seconds") from error
