"""Limit the responses of the Hugging Face Hub, explain its errors, and check repository ids.

The Hub's own client sends the requests and stores the files. Within `hub_errors`, all responses
share one budget of bytes and time, and headers that the client uses as file names must be hashes.
Error messages contain neither tokens nor the password in HF_ENDPOINT.
"""

import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar

from huggingface_hub import constants, errors, get_session, get_token
from huggingface_hub.utils import validate_repo_id

from mobilenetv3_cifar.errors import (
    PASSWORD_IN_URL,
    HubError,
    MobileNetV3CifarError,
    printable,
    quote,
)

MAX_BYTES = 128 * 2**20  # for all responses of one load or push; a model folder has at most 40 MB
SECONDS = 600.0  # the time limit for one load or push
SECONDS_OF_RATE = 30.0  # a minimum rate, if any, applies only after this time
SECONDS_TO_ANSWER = 5.0  # else the client would retry for 23 s, or wait forever for a silent server
REVISION = re.compile(r"[A-Za-z0-9][\w.+-]*(/[A-Za-z0-9][\w.+-]*)*", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")
ETAG = re.compile(r'(W/)?"?([0-9a-f]{40}|[0-9a-f]{64})"?')  # a git hash or a SHA-256
TOKEN = re.compile(r"[!-~]+")
ADVICE = {
    400: "the Hub refuses what was sent",
    401: "the Hub does not know the token: log in with `hf auth login`, or pass token=",
    403: "the token lacks a permission: a push needs write access to the owner's repositories",
    404: "repository or revision not found, or it is private and needs a token",
    409: "that name is taken",
    412: "the repository changed meanwhile: push again",
    429: "too many requests: wait a little",
}
SERVER_ERROR = "the Hub returned a server error: retry, which is safe even if a push went through"
TOO_SLOW = "the Hub sent no complete answer in time"
T = TypeVar("T")


class Budget:
    """Limits for loading, pushing or downloading. A `size` or `seconds` of 0 means the default."""

    def __init__(self, size: int = 0, seconds: float = 0.0, rate: float = 0.0) -> None:
        self.limit = self.bytes = size or MAX_BYTES
        self.seconds = seconds or SECONDS
        self.rate = rate  # the minimum transfer rate in bytes per second; 0 for none
        self.begun, self.deadline = time.monotonic(), math.inf  # `in_time` sets the deadline

    def spend(self, size: int) -> None:
        self.bytes -= size
        if self.bytes < 0:
            raise HubError(f"the Hub sends more than {self.limit} bytes: refused")
        now = time.monotonic()
        slow = self.limit - self.bytes < self.rate * (now - self.begun)
        if now > self.deadline or (slow and now > self.begun + SECONDS_OF_RATE):
            raise HubError(TOO_SLOW)


BUDGET: ContextVar[Budget | None] = ContextVar("budget", default=None)


def ask_plainly(request: Any) -> None:
    """Request an uncompressed response, because a small compressed one could expand hugely."""
    if BUDGET.get() is not None:
        request.headers["Accept-Encoding"] = "identity"


def check_answer(response: Any) -> None:
    """Check a response's headers, and count what is read of its body against `BUDGET`."""
    budget = BUDGET.get()
    if budget is None:  # the request was made outside `hub_errors`
        return
    headers = response.headers
    if headers.get("content-encoding", "identity") != "identity":
        raise HubError("the Hub sends a compressed answer: refused")
    headers.pop("x-xet-hash", None)  # without it, the client uses HTTP: xet would bypass the hooks
    size = headers.get("x-linked-size") or headers.get("content-length") or "0"
    if int(size) > budget.bytes:
        raise HubError(
            f"the Hub sends {printable(size)} bytes: more than {budget.limit} are refused"
        )
    if (commit := headers.get("x-repo-commit")) is not None:  # the client uses it as a file name
        etag = headers.get("x-linked-etag") or headers.get("etag") or commit
        if not (COMMIT.fullmatch(commit) and ETAG.fullmatch(etag)):
            raise HubError("the answer has no valid commit and hash; is the server a Hub?")
    response.stream = limited(response.stream, budget)


def limited(stream: Any, budget: Budget) -> Any:
    """Wrap `stream` so that reads spend `budget`."""

    # This is a subclass because the HTTP client checks the type.
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
    hooks = get_session().event_hooks
    if check_answer not in hooks["response"]:
        hooks["request"].append(ask_plainly)
        hooks["response"].append(check_answer)


@contextmanager
def hub_errors(doing: str, budget: Budget | None = None) -> Iterator[None]:
    """Apply `budget` to requests in the `with` block, and turn errors in it into HubErrors.

    `doing` names the operation in messages. Errors of this package pass unchanged. All others are
    caught, because a malformed response makes the Hub's client raise KeyError, TypeError and more.
    """
    before = BUDGET.set(budget or Budget())
    try:
        yield
    except MobileNetV3CifarError:
        raise
    except Exception as error:
        # A traceback also shows the error's cause, whose message may contain the URL's password.
        cause = None if PASSWORD_IN_URL.search(constants.ENDPOINT) else error
        raise HubError(f"{doing} failed: {explain_error(error)}") from cause
    finally:
        BUDGET.reset(before)


def in_time(work: Callable[[], T]) -> T:
    """Run `work` in a thread with a time limit, because DNS lookups and header reads can hang."""
    future: Future[T] = Future()
    budget = BUDGET.get() or Budget()
    # Once the deadline has passed, `spend` raises, which ends the thread.
    budget.deadline = time.monotonic() + budget.seconds

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    watch_client()
    threading.Thread(target=copy_context().run, args=(run,), daemon=True).start()
    while wait([future], 0.2).not_done:
        watch_client()  # after a failed connection, huggingface_hub makes a client without hooks
        if time.monotonic() > budget.deadline:
            raise HubError(TOO_SLOW)
    return future.result()


def ask(doing: str, work: Callable[[], T]) -> T:
    """Run `work`, which sends requests to the Hub, within `hub_errors` and `in_time`."""
    with hub_errors(doing):
        require_hub()
        return in_time(work)


def hub_answers(seconds: float) -> bool:
    try:
        with hub_errors("asking the Hub", Budget(seconds=seconds)):
            in_time(lambda: get_session().head(constants.ENDPOINT, timeout=seconds))
    except HubError:
        return False
    return True


def require_hub() -> None:
    if constants.HF_HUB_OFFLINE:
        raise errors.OfflineModeIsEnabled
    if not hub_answers(SECONDS_TO_ANSWER):
        raise OSError(
            f"{constants.ENDPOINT} cannot be reached: check the connection, or load a shipped "
            "variant or a folder"
        )


def explain_error(error: BaseException) -> str:
    if error.__cause__ and isinstance(error, errors.LocalEntryNotFoundError | RuntimeError):
        return explain_error(error.__cause__)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    if isinstance(error, errors.RepositoryNotFoundError):  # also raised for private repositories
        return ADVICE[404]
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        known = ADVICE.get(status, SERVER_ERROR if status >= 500 else one_line(error))
        return f"{known} (status {status})"
    if isinstance(error, KeyError | TypeError | AttributeError | AssertionError | IndexError):
        return f"the server's answer is malformed ({type(error).__name__}: {one_line(error)})"
    return one_line(error)


def one_line(error: BaseException) -> str:
    return printable(" ".join(str(error).split()), 300) or type(error).__name__


def is_repo_id(name: str) -> bool:
    """Return whether `name` is an ASCII repository id owner/name that the Hub's client accepts."""
    try:
        validate_repo_id(name)
    except errors.HFValidationError:
        return False
    return "/" in name and name.isascii()


def check_repo_id(name: str) -> None:
    if not is_repo_id(name):
        raise HubError(f"{quote(name)} is not a repository id: it must be owner/name")


def check_revision(name: str) -> None:
    """Refuse a revision that is not a safe path, because the cache names a file after it."""
    if not REVISION.fullmatch(name) or ".." in name or len(name) > 200:
        raise HubError(f"{quote(name)} is not a branch, tag or commit")


def check_token(token: str | bool | None) -> None:
    """Refuse a token that an HTTP header cannot hold: the client's error would show the token."""
    used = get_token() if token in (None, True) else token
    if isinstance(used, str) and not TOKEN.fullmatch(used):
        raise HubError("the token contains invalid characters, perhaps a line break")
