"""Turn errors of huggingface_hub, the client, into HubErrors. Check ids, revisions and tokens.

Error messages never contain a token or the password in HF_ENDPOINT.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from huggingface_hub import constants, errors, get_session, get_token
from huggingface_hub.utils import validate_repo_id

from mobilenetv3_cifar.errors import (
    PASSWORD_IN_URL,
    HubError,
    MobileNetV3CifarError,
    printable,
    quote,
)
from mobilenetv3_cifar.hub_limits import BUDGET, Budget, T, in_time

SECONDS_TO_ANSWER = 5.0  # without this limit, the client might retry for 23 s or wait forever
REVISION = re.compile(r"[A-Za-z0-9][\w.+-]*(/[A-Za-z0-9][\w.+-]*)*", re.ASCII)
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


def ask(doing: str, work: Callable[[], T]) -> T:
    """Run `work`, which sends requests to the Hub, within `hub_errors` and with a time limit."""
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
        raise OSError(f"{constants.ENDPOINT} cannot be reached: check the connection")


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
