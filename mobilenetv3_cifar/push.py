"""Push a model folder to a repository of the Hugging Face Hub, in one commit, by an allow-list.

A push replaces and deletes only what an earlier push sent and nobody changed since. Each push lists
its files in the description of its commit, where the next one finds them. A card that a person
wrote is kept, and in a generated card the notes between `<!-- notes -->` and `<!-- /notes -->`.
"""

import json
import logging
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelInfo,
    RepoFile,
)
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from mobilenetv3_cifar.card import CARD_FILE, MAX_CARD_BYTES, is_generated, merge_cards, read_card
from mobilenetv3_cifar.errors import HubError, ModelFolderError
from mobilenetv3_cifar.fetch import fetch_file, find_file
from mobilenetv3_cifar.files import read_file
from mobilenetv3_cifar.folder import CONFIG_FILE, read_config, read_folder
from mobilenetv3_cifar.hub import (
    MAX_PUBLISHED_BYTES,
    ONNX_FILES,
    check_repo_id,
    check_revision,
    check_token,
    hub_errors,
    is_published,
    require_hub,
)
from mobilenetv3_cifar.variants import MAX_METRICS_BYTES, METRICS_FILE, WEIGHTS_FILE

ALWAYS_SENT = {CARD_FILE, CONFIG_FILE, WEIGHTS_FILE}
SENT = "Sent by mobilenetv3-cifar: "  # in the commit's description, before the list of files

logger = logging.getLogger(__name__)


class Plan(NamedTuple):
    """What a push does to a repository. Paths are sorted."""

    card: str
    sent: list[str]
    kept: list[str]  # files of the same names that were not pushed from here
    deleted: list[str]
    card_is_merged: bool  # a person's card is kept, with metadata added


def files_to_push(folder: Path) -> list[str]:
    """The paths of a model folder's files that go to the Hub, sorted; no others ever do."""
    paths = (path for path in [*folder.glob("*"), *folder.glob("seeds/*")] if path.is_file())
    return sorted(filter(is_published, (path.relative_to(folder).as_posix() for path in paths)))


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
    """Make the repository equal to the folder; without a difference, no commit is made.

    The arguments are those of `MobileNetV3Cifar.push_to_hub`; so is the URL that is returned.

    Raises:
        ModelFolderError: the folder does not load, or its card's metadata is invalid.
        HubError: the Hub cannot be reached or refuses; the message says what to do.
    """
    check_repo_id(repo_id)
    check_token(token)
    if tag is not None:
        check_revision(tag)
    if create_pr and tag is not None:
        raise ValueError("a pull request has no commit to tag yet: give create_pr or tag")
    check_folder(folder)
    api = HfApi(token=token)
    with hub_errors(f"pushing to {repo_id}"):
        require_hub()
        api.create_repo(repo_id, private=private, exist_ok=True)
        remote = api.model_info(repo_id)
        if tag is not None and find_tag(api, repo_id, tag) not in (None, remote.sha):
            raise HubError(f"{repo_id} already has a tag {tag}, of another commit")
        plan = make_plan(api, folder, repo_id, remote)
        for path in plan.kept:
            logger.warning("%s in %s is kept: no push put it there", path, repo_id)
        commit = api.create_commit(
            repo_id,
            operations(folder, plan),
            commit_message=commit_message,
            commit_description=SENT + ", ".join(plan.sent),
            create_pr=create_pr,
            parent_commit=remote.sha,  # so that a change made meanwhile is not lost
        )
        if tag is not None:
            set_tag(api, repo_id, tag, commit.oid)
    return commit.pr_url or commit.commit_url


def plan_push(folder: Path, repo_id: str, token: str | bool | None = None) -> Plan:
    """What `push_folder` would do now. Nothing is sent.

    Raises:
        ModelFolderError, HubError: as `push_folder`.
    """
    check_repo_id(repo_id)
    check_token(token)
    check_folder(folder)
    api = HfApi(token=token)
    with hub_errors(f"asking for {repo_id}"):
        require_hub()
        try:
            remote = api.model_info(repo_id)
        except RepositoryNotFoundError:
            return Plan(read_card(folder), files_to_push(folder), [], [], False)
        return make_plan(api, folder, repo_id, remote)


def make_plan(api: HfApi, folder: Path, repo_id: str, remote: ModelInfo) -> Plan:
    present = {file.rfilename for file in remote.siblings or []}
    names = set(files_to_push(folder))
    remote_card = read_remote_card(api, repo_id, remote) if CARD_FILE in present else ""
    owned = files_of_last_push(api, repo_id, remote, is_generated(remote_card)) & present
    kept = (names & present) - owned - ALWAYS_SENT
    card = merge_cards(read_card(folder), remote_card)
    # An unchanged card is not sent again: the Hub might find its metadata invalid.
    unchanged = {CARD_FILE} if card == remote_card else set()
    return Plan(
        card=card,
        sent=sorted(names - kept - unchanged),
        kept=sorted(kept),
        deleted=sorted(owned - names - ALWAYS_SENT),
        card_is_merged=bool(remote_card) and not is_generated(remote_card),
    )


def operations(folder: Path, plan: Plan) -> list[CommitOperationAdd | CommitOperationDelete]:
    card = plan.card.encode()
    return [
        *(CommitOperationAdd(n, card if n == CARD_FILE else folder / n) for n in plan.sent),
        *(CommitOperationDelete(name) for name in plan.deleted),
    ]


def read_remote_card(api: HfApi, repo_id: str, remote: ModelInfo) -> str:
    file = find_file(repo_id, CARD_FILE, remote.sha, api.token)
    return fetch_file(file, api.token, MAX_CARD_BYTES).decode("utf-8")


def files_of_last_push(
    api: HfApi, repo_id: str, remote: ModelInfo, card_is_generated: bool
) -> set[str]:
    """The files that the last push sent and nobody changed since.

    Some mirrors have no history; there a generated card means that all published files were pushed.
    """
    try:
        commits = api.list_repo_commits(repo_id, revision=remote.sha)
    except HfHubHTTPError:
        present = (file.rfilename for file in remote.siblings or [])
        return set(filter(is_published, present)) if card_is_generated else set()
    for commit in commits:
        if commit.message.startswith(SENT):
            sent = set(filter(is_published, commit.message.removeprefix(SENT).split(", ")))
            then, now = (hashes(api, repo_id, sha) for sha in (commit.commit_id, remote.sha))
            return {path for path in sent if path in now and now[path] == then.get(path)}
    return set()


def hashes(api: HfApi, repo_id: str, commit: str | None) -> dict[str, str]:
    """Git's hash of each file of a commit."""
    entries = api.list_repo_tree(repo_id, revision=commit, recursive=True)
    return {entry.path: entry.blob_id for entry in entries if isinstance(entry, RepoFile)}


def find_tag(api: HfApi, repo_id: str, tag: str) -> str | None:
    """The commit that a tag names, where there is such a tag."""
    tags = {ref.name: ref.target_commit for ref in api.list_repo_refs(repo_id).tags}
    return tags.get(tag)


def set_tag(api: HfApi, repo_id: str, tag: str, commit: str) -> None:
    """Tag the commit; a tag that was set on the one before, known only now to differ, stays."""
    tagged = find_tag(api, repo_id, tag)
    if tagged is None:
        api.create_tag(repo_id, tag=tag, revision=commit)
    elif tagged != commit:
        raise HubError(f"{repo_id} was pushed, but its tag {tag} stays on an older commit")


def check_folder(folder: Path) -> None:
    """Refuse a folder that does not load, or whose measurements or exports are of other weights."""
    read_folder(folder)
    read_card(folder)
    sha256 = read_config(folder)[1]
    for name in ONNX_FILES:
        path = folder / name
        # Its metadata name the weights, as plain text.
        if path.is_file() and sha256.encode() not in read_file(path, MAX_PUBLISHED_BYTES):
            raise ModelFolderError(f"{path} was exported from other weights: export it again")
    try:
        metrics = json.loads(read_file(folder / METRICS_FILE, MAX_METRICS_BYTES))
        measured = metrics["weights"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # there are none, or none that name weights
    if measured != sha256:
        raise ModelFolderError(
            f"{folder / METRICS_FILE} was measured on other weights: measure these, or delete it"
        )
