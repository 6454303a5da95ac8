"""From a name to a model folder, read and checked: a variant, a folder, or a repository of the Hub.

The Hub's client checks the size of what it downloads, not the content. Its cache names each file by
a hash, though: that is checked here at every load, and a damaged file is taken out of the cache.
"""

import hashlib
import logging
import os
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from mobilenetv3_cifar.errors import HubError, ModelFolderError
from mobilenetv3_cifar.folder import CONFIG_FILE, ModelFolder, read_folder
from mobilenetv3_cifar.hub import (
    PUBLISHED,
    check_revision,
    check_token,
    hub_answers,
    is_commit,
    is_repo_id,
    named_errors,
    require_hub,
)
from mobilenetv3_cifar.variants import WEIGHTS_FILE, get_variant, shipped_folder

SECONDS_TO_ANSWER_IF_CACHED = 0.4

logger = logging.getLogger(__name__)


def open_model(
    name: str | os.PathLike[str],
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> ModelFolder:
    """The arguments of `MobileNetV3Cifar.from_pretrained`, and its errors."""
    shipped = shipped_folder(os.fspath(name))
    if shipped is not None:
        return read_folder(shipped)
    if os.path.isdir(name):
        return read_folder(Path(name))
    if not isinstance(name, str) or not is_repo_id(name):
        return read_folder(get_variant(os.fspath(name)).folder)  # raises, and lists the variants
    if revision is not None:
        check_revision(revision)
    check_token(token)
    folder = fetch(name, revision, cache_dir, token, local_files_only)
    forget_damaged(folder)
    return read_folder(folder)._replace(repository=name)


def fetch(
    repo_id: str,
    revision: str | None,
    cache_dir: str | Path | None,
    token: str | bool | None,
    local_files_only: bool,
) -> Path:
    """Download a repository's config and weights, of one commit; take the cached without a Hub."""

    def snapshot(local: bool) -> Path:
        return Path(
            snapshot_download(
                repo_id,
                revision=revision,
                cache_dir=cache_dir,
                token=token,
                local_files_only=local,
                allow_patterns=[CONFIG_FILE, WEIGHTS_FILE],
            )
        )

    try:
        cached = snapshot(local=True)
    except LocalEntryNotFoundError:
        cached = None
    if local_files_only:
        if cached is None:
            raise HubError(f"{repo_id} is not in the cache: load it once without local_files_only")
        return cached
    if cached is not None and (constants.HF_HUB_OFFLINE or is_commit(revision)):
        return cached  # there is nobody to ask, or nothing: a commit never changes
    if cached is not None and not hub_answers(SECONDS_TO_ANSWER_IF_CACHED):
        logger.warning("%s is silent; %s comes from the cache", constants.ENDPOINT, repo_id)
        return cached
    with named_errors(f"there is no folder {repo_id}; loading it from the Hub"):
        require_hub()
        return snapshot(local=False)


def complete(repo_id: str, folder: Path, token: str | bool | None) -> None:
    """Download into a snapshot in the cache whatever else of its commit the Hub publishes.

    Raises:
        HubError: the Hub cannot be reached or refuses.
        ModelFolderError: a file was damaged.
    """
    with named_errors(f"loading the card and figures of {repo_id}"):
        require_hub()
        snapshot_download(
            repo_id,
            revision=folder.name,  # the cache calls a snapshot by its commit
            cache_dir=folder.parents[2],
            token=token,
            allow_patterns=list(PUBLISHED),
        )
    forget_damaged(folder)


def forget_damaged(folder: Path) -> None:
    """Check each file against the hash that the cache calls it by; drop those that differ.

    Raises:
        ModelFolderError: a file differed.
    """
    for path in folder.rglob("*"):
        if not path.is_symlink():  # a folder, or a system without links: the config's hash remains
            continue
        blob = path.parent / os.readlink(path)  # one link on; a second may follow
        if blob.is_file() and is_damaged(blob):
            blob.resolve().unlink()
            blob.unlink(missing_ok=True)
            path.unlink()
            raise ModelFolderError(
                f"{path} was damaged and is taken out of the cache: load it again"
            )


def is_damaged(blob: Path) -> bool:
    """Whether a file is not what its name says: the Hub uses SHA-256, and git's hash for small."""
    git_start = b"blob %d\0" % blob.stat().st_size
    hashes = {64: hashlib.sha256(), 40: hashlib.sha1(git_start, usedforsecurity=False)}
    expected = hashes.get(len(blob.name))
    if expected is None:
        return False
    with blob.open("rb") as file:
        return hashlib.file_digest(file, lambda: expected).hexdigest() != blob.name
