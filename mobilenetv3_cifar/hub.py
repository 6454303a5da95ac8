"""Limit the responses of the Hugging Face Hub, explain its errors, and check repository ids.

The Hub's own client, huggingface_hub, sends the requests and stores the files. All responses in a
`with hub_errors(...)` block share one budget of bytes and time. The client uses the values of some
headers as file names, so a response is refused if these values are not hashes. Error messages never
contain a token or the password in HF_ENDPOINT.
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

MAX_BYTES = 128 * 2**20  # the limit for one load or push; a model folder takes at most 40 MB
SECONDS = 600.0  # the time limit for one load or push
GRACE_SECONDS = 30.0  # a budget's minimum transfer rate is enforced only after this time
SECONDS_TO_ANSWER = 5.0  # without this limit, the client might retry for 23 s or wait forever
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
SERVER_ERROR = "the Hub returned a server error: retry (repeating a push that succeeded is safe)"
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
    # Without this header, the client downloads over HTTP. With it, the client would use Xet, which
    # bypasses these checks.
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


@contextmanager
def hub_errors(doing: str, budget: Budget | None = None) -> Iterator[None]:
    """Apply `budget` to the requests in a `with` block, and turn the block's errors into HubErrors.

    `doing` names the operation in messages. The package's own errors are passed on unchanged. All
    other errors are converted, because a malformed response can make the client raise KeyError,
    TypeError and other built-in errors.
    """
    before = BUDGET.set(budget or Budget())
    try:
        yield
    except MobileNetV3CifarError:
        raise
    except Exception as error:
        # A traceback would show the cause, whose message may contain the password in HF_ENDPOINT.
        cause = None if PASSWORD_IN_URL.search(constants.ENDPOINT) else error
        raise HubError(f"{doing} failed: {explain_error(error)}") from cause
    finally:
        BUDGET.reset(before)


def in_time(work: Callable[[], T]) -> T:
    """Run `work` in a thread with a time limit, because DNS lookups and header reads can hang."""
    future: Future[T] = Future()
    budget = BUDGET.get() or Budget()
    # After the deadline, `spend` raises an error, which ends the thread.
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
    """Return whether `name` is ASCII, has the form owner/name and is accepted by the client."""
    try:
        validate_repo_id(name)
    except errors.HFValidationError:
        return False
    return "/" in name and name.isascii()


def check_repo_id(name: str) -> None:
    if not is_repo_id(name):
        raise HubError(f"{quote(name)} is not a repository id: it must be owner/name")


def check_revision(name: str) -> None:
    """Refuse a revision that is not a safe path, because the cache uses it as a path."""
    if not REVISION.fullmatch(name) or ".." in name or len(name) > 200:
        raise HubError(f"{quote(name)} is not a branch, tag or commit")


def check_token(token: str | bool | None) -> None:
    """Refuse a token that is not valid in an HTTP header.

    The client would refuse it too, but its error message would contain the token.
    """
    used = get_token() if token in (None, True) else token
    if isinstance(used, str) and not TOKEN.fullmatch(used):
        raise HubError("the token contains invalid characters, perhaps a line break")
