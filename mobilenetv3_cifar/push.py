"""Push the allowed files of a model folder to a Hugging Face Hub repository, in one commit.

A push always replaces the config and the weights, and adds files that the repository lacks. It
replaces or deletes another file only if the last push sent that file and nobody has changed it
since. Each push lists its files in the description of the commit, so that the next push knows them.
The model card is treated separately: see `merge_cards`.
"""

import json
import logging
import re
import tempfile
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoFile
from huggingface_hub.errors import RepositoryNotFoundError

from mobilenetv3_cifar.card import CARD_FILE, MAX_CARD_BYTES, is_generated, merge_cards, read_card
from mobilenetv3_cifar.config import hash_values, read_config
from mobilenetv3_cifar.errors import ModelFolderError
from mobilenetv3_cifar.files import read_file
from mobilenetv3_cifar.folder import MAX_BYTES, read_folder
from mobilenetv3_cifar.hub import ask, check_repo_id, check_token
from mobilenetv3_cifar.onnx_metadata import encoded_settings
from mobilenetv3_cifar.variants import (
    CONFIG_FILE,
    INT8_FILE,
    MAX_METRICS_BYTES,
    METRICS_FILE,
    ONNX_FILE,
    WEIGHTS_FILE,
)

ALWAYS_SENT = {CARD_FILE, CONFIG_FILE, WEIGHTS_FILE}
FIGURES = {"curves.png", "confusion_matrix.png", "batch.png", "activation_maps.png"}
ALLOWED = ALWAYS_SENT | FIGURES | {METRICS_FILE, "history.csv", ONNX_FILE, INT8_FILE}
SEED_FILE = re.compile(r"seeds/\d{1,6}\.json", re.ASCII)  # metrics of a run with another seed
SENT = "Sent by mobilenetv3-cifar: "  # start of a commit description, before the list of files

logger = logging.getLogger(__name__)


class Plan(NamedTuple):
    """The changes that a push makes to a repository. Paths are sorted."""

    card: str
    sent: list[str]
    kept: list[str]  # not replaced: not sent by the last push, or changed in the repository since
    deleted: list[str]
    card_is_merged: bool  # whether a hand-written card is kept, with metadata added
    head: str | None  # the newest commit, or None if the repository does not exist yet


def is_allowed(path: str) -> bool:
    """Return whether a file may be pushed or downloaded. `path` is relative to the model folder."""
    return path in ALLOWED or SEED_FILE.fullmatch(path) is not None


def files_to_push(folder: Path) -> list[str]:
    """Return the sorted paths, relative to `folder`, of the files that may be pushed."""
    paths = (path for path in [*folder.glob("*"), *folder.glob("seeds/*")] if path.is_file())
    return sorted(filter(is_allowed, (path.relative_to(folder).as_posix() for path in paths)))


def push_folder(
    folder: Path,
    repo_id: str,
    token: str | bool | None = None,
    private: bool | None = None,
    create_pr: bool = False,
    commit_message: str = "Upload the model",
) -> str:
    """Push the allowed files of a model folder in one commit. Make no commit if no file differs.

    The arguments, result and errors are as in `MobileNetV3Cifar.push_to_hub`.
    """
    check(folder, repo_id, token)
    api = HfApi(token=token)

    def push() -> str:
        api.create_repo(repo_id, private=private, exist_ok=True)
        plan = make_plan(api, folder, repo_id)
        for path in plan.kept:
            reason = "the last push did not send it, or it was changed since"
            logger.warning("%s in %s is kept: %s", path, repo_id, reason)
        contents = {name: folder / name for name in plan.sent} | {CARD_FILE: plan.card.encode()}
        added = [CommitOperationAdd(name, contents[name]) for name in plan.sent]
        commit = api.create_commit(
            repo_id,
            [*added, *map(CommitOperationDelete, plan.deleted)],
            commit_message=commit_message,
            commit_description=SENT + ", ".join(plan.sent),
            create_pr=create_pr,
            parent_commit=plan.head,  # if there is a newer commit, the Hub refuses this one
        )
        return commit.pr_url or commit.commit_url

    return ask(f"pushing to {repo_id}", push)


def plan_push(folder: Path, repo_id: str, token: str | bool | None = None) -> Plan:
    """Check the folder, and return what `push_folder` would change now. Nothing is sent."""
    check(folder, repo_id, token)
    return ask(f"asking for {repo_id}", lambda: make_plan(HfApi(token=token), folder, repo_id))


def make_plan(api: HfApi, folder: Path, repo_id: str) -> Plan:
    local_card, names = read_card(folder), set(files_to_push(folder))
    try:
        head = api.model_info(repo_id).sha
    except RepositoryNotFoundError:
        return Plan(local_card, sorted(names), [], [], False, None)
    present = hashes(api, repo_id, head)
    remote_card = ""
    if CARD_FILE in present:
        with tempfile.TemporaryDirectory() as cache:  # the user's cache may be read-only
            path = api.hf_hub_download(repo_id, CARD_FILE, revision=head, cache_dir=cache)
            remote_card = read_file(Path(path), MAX_CARD_BYTES).decode("utf-8")
    owned = files_of_last_push(api, repo_id, head, present)
    kept = (names & present.keys()) - owned - ALWAYS_SENT
    card = merge_cards(local_card, remote_card)
    # An unchanged card is not sent again, because the Hub might refuse its metadata.
    unchanged = {CARD_FILE} if card == remote_card else set()
    return Plan(
        card=card,
        sent=sorted(names - kept - unchanged),
        kept=sorted(kept),
        deleted=sorted(owned - names - ALWAYS_SENT),
        card_is_merged=bool(remote_card) and not is_generated(remote_card),
        head=head,
    )


def files_of_last_push(
    api: HfApi, repo_id: str, head: str | None, present: dict[str, str]
) -> set[str]:
    """Return the files that this package's last push sent and that nobody has changed since.

    `present` maps the path of each file in the commit `head` to its hash.
    """
    for commit in api.list_repo_commits(repo_id, revision=head):
        if commit.message.startswith(SENT):
            sent = set(filter(is_allowed, commit.message.removeprefix(SENT).split(", ")))
            pushed = hashes(api, repo_id, commit.commit_id)
            return {path for path in sent & present.keys() if present[path] == pushed.get(path)}
    return set()


def hashes(api: HfApi, repo_id: str, commit: str | None) -> dict[str, str]:
    """Return {path: Git hash} for all files in `commit`, by default the newest commit."""
    entries = api.list_repo_tree(repo_id, revision=commit, recursive=True)
    return {entry.path: entry.blob_id for entry in entries if isinstance(entry, RepoFile)}


def check(folder: Path, repo_id: str, token: str | bool | None) -> None:
    """Check the folder, then the token. Metrics and ONNX files must match weights and settings."""
    check_repo_id(repo_id)
    read_folder(folder)
    read_card(folder)
    config, sha256 = read_config(folder)
    config_sha256 = hash_values(json.loads(read_file(folder / CONFIG_FILE, MAX_BYTES[CONFIG_FILE])))
    settings = encoded_settings(config, sha256)
    for path in filter(Path.is_file, [folder / ONNX_FILE, folder / INT8_FILE]):
        content = read_file(path, MAX_BYTES[WEIGHTS_FILE])
        if not all(each in content for each in settings):
            raise ModelFolderError(
                f"{path} was exported from other weights or settings: export it again"
            )
    try:
        weights = json.loads(read_file(folder / METRICS_FILE, MAX_METRICS_BYTES))["weights"]
        measured = weights["sha256"], weights.get("config_sha256", config_sha256)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        measured = sha256, config_sha256  # no metrics, or they do not say what was measured
    if measured != (sha256, config_sha256):
        raise ModelFolderError(
            f"{folder / METRICS_FILE} was measured with other weights or settings: measure "
            "again, or delete the file"
        )
    check_token(token)
