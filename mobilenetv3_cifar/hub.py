"""To the Hugging Face Hub: a model folder becomes a repository, in one commit, by an allow-list.

What a person wrote between the markers `<!-- notes -->` and `<!-- /notes -->` of the card on the
Hub survives; all else there becomes what the folder holds. Errors name no token.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelInfo,
    constants,
    get_session,
    get_token,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import httpx, validate_repo_id

from mobilenetv3_cifar.card import CARD_FILE, keep_notes, read_card
from mobilenetv3_cifar.errors import HubError, ModelFolderError
from mobilenetv3_cifar.folder import CONFIG_FILE, read_config, read_folder
from mobilenetv3_cifar.variants import METRICS_FILE, WEIGHTS_FILE

INT8_FILE = "model-int8.onnx"
PUBLISHED = (
    CARD_FILE,
    CONFIG_FILE,
    WEIGHTS_FILE,
    METRICS_FILE,
    "history.csv",
    "seeds/*.json",
    "curves.png",
    "confusion_matrix.png",
    "batch.png",
    "activation_maps.png",
    "model.onnx",
    INT8_FILE,
)
SECONDS_TO_ANSWER = 5.0  # the client's own retries take 23 seconds, or for ever where none answers
REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
REVISION = re.compile(r"[A-Za-z0-9][\w.+-]*(/[A-Za-z0-9][\w.+-]*)*", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")
TOKEN = re.compile(r"[!-~]+")
ADVICE = {
    400: "the Hub refuses what was sent",
    401: "the Hub does not know the token: log in with `hf auth login`, or pass token=",
    403: "the token may not do this: to push it needs write access to the owner's repositories",
    404: "there is no such repository or revision, or it is private and needs a token",
    409: "there is something of that name already",
    412: "the repository changed meanwhile: push again",
    429: "too many requests: wait a little",
}
IN_TROUBLE = "the Hub is in trouble: try again; if a push was made all the same, nothing changes"


def files_to_push(folder: Path) -> list[str]:
    """The names of the files of a model folder that go to the Hub, sorted; no other ever does."""
    found = {path for pattern in PUBLISHED for path in folder.glob(pattern) if path.is_file()}
    return sorted(path.relative_to(folder).as_posix() for path in found)


def push_folder(
    folder: Path,
    repo_id: str,
    *,
    token: str | bool | None = None,
    private: bool | None = None,
    create_pr: bool = False,
    tag: str | None = None,
    commit_message: str = "Upload the model",
) -> str:
    """Make the repository hold what the folder holds; without a difference, no commit is made.

    The arguments are those of `MobileNetV3Cifar.push_to_hub`; so is the URL that is returned.

    Raises:
        ModelFolderError: the folder is not whole, or its card's metadata is invalid.
        HubError: the Hub cannot be reached or refuses; the message says what to do.
    """
    check_repo_id(repo_id)
    check_token(token)
    if tag is not None:
        check_revision(tag)
    if create_pr and tag is not None:
        raise ValueError("a pull request has no commit to tag yet: give create_pr or tag")
    read_folder(folder)
    check_metrics(folder)
    card = read_card(folder)
    api = HfApi(token=token)
    with named_errors(f"pushing to {repo_id}"):
        require_hub()
        api.create_repo(repo_id, private=private, exist_ok=True)
        there = api.model_info(repo_id)
        if tag is not None and find_tag(api, repo_id, tag) not in (None, there.sha):
            raise HubError(f"{repo_id} has a tag {tag} already, of another commit")
        commit = api.create_commit(
            repo_id,
            changes(folder, keep_notes(card, download_card(api, repo_id)), there),
            commit_message=commit_message,
            create_pr=create_pr,
            parent_commit=there.sha,  # so that notes written meanwhile are not lost
        )
        if tag is not None:
            set_tag(api, repo_id, tag, commit.oid)
    return commit.pr_url or commit.commit_url


def changes(
    folder: Path, card: str, there: ModelInfo
) -> list[CommitOperationAdd | CommitOperationDelete]:
    """Send the folder's files; delete those of a former model that the folder has not."""
    names = files_to_push(folder)
    sent = {name: str(folder / name) for name in names} | {CARD_FILE: card.encode()}
    present = {file.rfilename for file in there.siblings or []}
    ours = {name for name in present if any(fnmatchcase(name, known) for known in PUBLISHED)}
    return [
        *(CommitOperationAdd(name, content) for name, content in sent.items()),
        *(CommitOperationDelete(name) for name in sorted(ours - set(names))),
    ]


def download_card(api: HfApi, repo_id: str) -> str:
    """The card on the Hub; empty where there is none."""
    with TemporaryDirectory() as cache:
        try:
            path = api.hf_hub_download(repo_id, CARD_FILE, cache_dir=cache)
        except EntryNotFoundError:
            return ""
        return Path(path).read_text(encoding="utf-8")


def find_tag(api: HfApi, repo_id: str, tag: str) -> str | None:
    """The commit that a tag names, where there is such a tag."""
    tags = {ref.name: ref.target_commit for ref in api.list_repo_refs(repo_id).tags}
    return tags.get(tag)


def set_tag(api: HfApi, repo_id: str, tag: str, commit: str) -> None:
    """Tag the commit; a tag that was on the one before, found only now to differ, stays there."""
    found = find_tag(api, repo_id, tag)
    if found is None:
        api.create_tag(repo_id, tag=tag, revision=commit)
    elif found != commit:
        raise HubError(f"{repo_id} holds the model now, but its tag {tag} stays where it was")


def check_metrics(folder: Path) -> None:
    """Refuse measurements that name other weights than the folder's."""
    try:
        metrics = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
        measured = metrics["weights"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # there are none, or none that name weights
    if measured != read_config(folder)[1]:
        raise ModelFolderError(
            f"{folder / METRICS_FILE} was measured on other weights: measure these, or delete it"
        )


def is_repo_id(name: str) -> bool:
    if not REPO_ID.fullmatch(name):
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def check_repo_id(name: str) -> None:
    if not is_repo_id(name):
        raise HubError(f"{name!r:.100} is no repository: it must be owner/name")


def check_revision(name: str) -> None:
    """The client makes a file name of a revision, unchecked."""
    if not REVISION.fullmatch(name) or ".." in name:
        raise HubError(f"{name!r:.100} is no branch, tag or commit")


def is_commit(revision: str | None) -> bool:
    return revision is not None and bool(COMMIT.fullmatch(revision))


def check_token(token: str | bool | None) -> None:
    """The client would print a token that does not fit into a header."""
    used = get_token() if token in (None, True) else token
    if isinstance(used, str) and not TOKEN.fullmatch(used):
        raise HubError("the token holds characters that no token has, perhaps a line break")


def hub_answers(seconds: float) -> bool:
    """Ask once, in a thread: looking up a name may hang, and knows no timeout."""
    answered = threading.Event()

    def ask() -> None:
        try:
            get_session().head(constants.ENDPOINT, timeout=seconds)
        except (httpx.HTTPError, OSError):
            return
        answered.set()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return answered.is_set()


def require_hub() -> None:
    if constants.HF_HUB_OFFLINE:
        raise OfflineModeIsEnabled
    if not hub_answers(SECONDS_TO_ANSWER):
        raise OSError(
            f"{constants.ENDPOINT} cannot be reached: check the connection, or load a shipped "
            f"variant or a folder"
        )


@contextmanager
def named_errors(doing: str) -> Iterator[None]:
    """Turn what the Hub's client raises into HubError: one sentence, with what to do."""
    try:
        yield
    except (httpx.HTTPError, OSError, ValueError, RuntimeError) as error:
        raise HubError(f"{doing} failed: {advise(error)}") from error


def advise(error: BaseException) -> str:
    if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # what a download met: the client says that it is not in the cache
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    if isinstance(error, RepositoryNotFoundError):  # the Hub says 401 of a private repository
        return ADVICE[404]
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return f"{ADVICE.get(status, IN_TROUBLE if status >= 500 else error)} (status {status})"
    return " ".join(str(error).split())
