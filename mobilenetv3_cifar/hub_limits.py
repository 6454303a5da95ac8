"""Limit the bytes and the time of responses of the Hugging Face Hub.

The Hub's own client, huggingface_hub, sends the requests and stores the files. All responses in a
`with hub_errors(...)` block share one `Budget`. The client uses the values of some headers as file
names, so a response is refused if these values are not hashes.
"""

import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar

from huggingface_hub import get_session

from mobilenetv3_cifar.errors import HubError, printable

MAX_BYTES = 128 * 2**20  # for one load or push; a model folder with 10 classes is far smaller
SECONDS = 600.0  # the time limit for one load or push
GRACE_SECONDS = 30.0  # a budget's minimum transfer rate is enforced only after this time
COMMIT = re.compile(r"[0-9a-f]{40}")
ETAG = re.compile(r'(W/)?"?([0-9a-f]{40}|[0-9a-f]{64})"?')  # a git hash or a SHA-256
TOO_SLOW = "the Hub sent no complete answer in time"
T = TypeVar("T")


class Budget:
    """Limits for one load, push or download. If `size` or `seconds` is 0, its default applies."""

    def __init__(self, size: int = 0, seconds: float = 0.0, rate: float = 0.0) -> None:
        self.limit = self.bytes = size or MAX_BYTES  # `bytes` counts down from `limit`
        self.seconds = seconds or SECONDS
        self.rate = rate  # the minimum transfer rate in bytes per second; 0 for none
        self.started, self.deadline = time.monotonic(), math.inf  # `in_time` sets the deadline

    def spend(self, size: int) -> None:
        """Count `size` received bytes. Raise a HubError if a limit is exceeded."""
        self.bytes -= size
        if self.bytes < 0:
            raise HubError(f"the Hub sends more than {self.limit} bytes: refused")
        now = time.monotonic()
        slow = self.limit - self.bytes < self.rate * (now - self.started)
        if now > self.deadline or (slow and now > self.started + GRACE_SECONDS):
            raise HubError(TOO_SLOW)


BUDGET: ContextVar[Budget | None] = ContextVar("budget", default=None)


def ask_plainly(request: Any) -> None:
    """Request an uncompressed response, because a compressed one could expand to a huge size."""
    if BUDGET.get() is not None:
        request.headers["Accept-Encoding"] = "identity"


def check_answer(response: Any) -> None:
    """Check a response's headers, and count the bytes of its body against the budget."""
    budget = BUDGET.get()
    if budget is None:  # the request was made outside `hub_errors`
        return
    headers = response.headers
    if headers.get("content-encoding", "identity") != "identity":
        raise HubError("the Hub sends a compressed answer: refused")
    # If this header stays, the client downloads with Xet, which bypasses these checks. Without it,
    # the client downloads over HTTP.
    headers.pop("x-xet-hash", None)
    size = headers.get("x-linked-size") or headers.get("content-length") or "0"
    if int(size) > budget.bytes:
        raise HubError(
            f"the Hub sends {printable(size)} bytes: more than {budget.limit} are refused"
        )
    # In the client's cache, the commit becomes a folder name and the ETag becomes a file name.
    if (commit := headers.get("x-repo-commit")) is not None:
        etag = headers.get("x-linked-etag") or headers.get("etag") or commit
        if not (COMMIT.fullmatch(commit) and ETAG.fullmatch(etag)):
            raise HubError("the answer has no valid commit and hash: is the server really a Hub?")
    response.stream = limited(response.stream, budget)


def limited(stream: Any, budget: Budget) -> Any:
    """Wrap `stream` so that the bytes read from it are counted against `budget`."""

    # The HTTP client checks the stream with isinstance, so `Limited` subclasses the stream's class.
    class Limited(type(stream)):  # type: ignore[misc]
        def __init__(self) -> None:
            pass

        def __iter__(self) -> Iterator[bytes]:
            for chunk in stream:
                budget.spend(len(chunk))
                yield chunk

        def close(self) -> None:
            stream.close()

    return Limited()


def watch_client() -> None:
    """Add `ask_plainly` and `check_answer` to the hooks of the client's current HTTP session."""
    hooks = get_session().event_hooks
    if check_answer not in hooks["response"]:
        hooks["request"].append(ask_plainly)
        hooks["response"].append(check_answer)


def in_time(work: Callable[[], T]) -> T:
    """Run `work` in a thread with a time limit, because DNS lookups and header reads can hang."""
    future: Future[T] = Future()
    budget = BUDGET.get() or Budget()
    # After the deadline, `spend` raises an error that ends the thread.
    budget.deadline = time.monotonic() + budget.seconds

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    watch_client()
    threading.Thread(target=copy_context().run, args=(run,), daemon=True).start()
    while wait([future], 0.2).not_done:
        watch_client()  # after a failed connection, the client opens a session without hooks
        if time.monotonic() > budget.deadline:
            raise HubError(TOO_SLOW)
    return future.result()
