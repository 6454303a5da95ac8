"""What every exchange with the Hugging Face Hub needs: names, reachability, errors.

Errors name no token, and no password of HF_ENDPOINT.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants, get_session, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from mobilenetv3_cifar.errors import (
    PASSWORD_IN_URL,
    HubError,
    MobileNetV3CifarError,
    printable,
    quote,
)
from mobilenetv3_cifar.fetch import COMMIT, SERVER_ERROR, within

INT8_FILE = "model-int8.onnx"
ONNX_FILES = ("model.onnx", INT8_FILE)
PUBLISHED_FILES = (
    "README.md",
    "config.json",
    "model.safetensors",
    "metrics.json",
    "history.csv",
    "curves.png",
    "confusion_matrix.png",
    "batch.png",
    "activation_maps.png",
    *ONNX_FILES,
)
MAX_PUBLISHED_BYTES = 64 * 2**20  # of one file
SEED_FILE = re.compile(r"seeds/\d{1,6}\.json", re.ASCII)  # the measurements of another seed
SECONDS_TO_ANSWER = 5.0  # the client's own retries take 23 seconds, or forever where none answers
REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
REVISION = re.compile(r"[A-Za-z0-9][\w.+-]*(/[A-Za-z0-9][\w.+-]*)*", re.ASCII)
TOKEN = re.compile(r"[!-~]+")
ADVICE = {
    400: "the Hub refuses what was sent",
    401: "the Hub does not know the token: log in with `hf auth login`, or pass token=",
    403: "the token lacks a permission: a push needs write access to the owner's repositories",
    404: "there is no such repository or revision, or it is private and needs a token",
    409: "there is something of that name already",
    412: "the repository changed meanwhile: push again",
    429: "too many requests: wait a little",
}


def is_published(path: str) -> bool:
    """Whether a path in a model folder or repository is one that is ever pushed or downloaded."""
    return path in PUBLISHED_FILES or SEED_FILE.fullmatch(path) is not None


def is_repo_id(name: str) -> bool:
    """Whether it is "owner/name", by the client's rule; the first test also bounds its length."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return REPO_ID.fullmatch(name) is not None


def check_repo_id(name: str) -> None:
    if not is_repo_id(name):
        raise HubError(f"{quote(name)} is not a repository id: it must be owner/name")


def check_revision(name: str) -> None:
    """The cache has a file of a revision's name."""
    if not REVISION.fullmatch(name) or ".." in name or len(name) > 200:
        raise HubError(f"{quote(name)} is not a branch, tag or commit")


def is_commit(revision: str | None) -> bool:
    return revision is not None and bool(COMMIT.fullmatch(revision))


def check_token(token: str | bool | None) -> None:
    """The client would print a token that does not fit into a header."""
    used = get_token() if token in (None, True) else token
    if isinstance(used, str) and not TOKEN.fullmatch(used):
        raise HubError("the token has characters that no token has, perhaps a line break")


def hub_answers(seconds: float) -> bool:
    """Whether the Hub answers one request in time."""
    try:
        within(seconds, lambda: get_session().head(constants.ENDPOINT, timeout=seconds))
    except Exception:  # whatever the HTTP client raises, also for an invalid HF_ENDPOINT
        return False
    return True


def require_hub() -> None:
    if constants.HF_HUB_OFFLINE:
        raise OfflineModeIsEnabled
    if not hub_answers(SECONDS_TO_ANSWER):
        raise OSError(
            f"{constants.ENDPOINT} cannot be reached: check the connection, or load a shipped "
            f"variant or a folder"
        )


@contextmanager
def hub_errors(doing: str) -> Iterator[None]:
    """Turn whatever the Hub's client raises into HubError: one sentence, with what to do.

    A malformed answer makes the client raise KeyError, TypeError, AssertionError and others.
    """
    try:
        yield
    except MobileNetV3CifarError:
        raise
    except Exception as error:
        # A traceback would show the causes too, and their messages the URL.
        cause = None if PASSWORD_IN_URL.search(constants.ENDPOINT) else error
        raise HubError(f"{doing} failed: {explain_error(error)}") from cause


def explain_error(error: Exception) -> str:
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    if isinstance(error, RepositoryNotFoundError):  # the Hub says 401 of a private repository
        return ADVICE[404]
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        known = ADVICE.get(status, SERVER_ERROR if status >= 500 else one_line(error))
        return f"{known} (status {status})"
    if isinstance(error, KeyError | TypeError | AttributeError | AssertionError | IndexError):
        return f"the server's answer is malformed ({type(error).__name__}: {one_line(error)})"
    return one_line(error)


def one_line(error: Exception) -> str:
    return printable(" ".join(str(error).split()), 300) or type(error).__name__
