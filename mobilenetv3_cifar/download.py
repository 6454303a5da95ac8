"""From a name to a model folder, read and checked: a variant, a folder, or a repository of the Hub.

The Hub's client checks the size of what it downloads, not the content. Its cache names each file by
a hash, though: that is checked here at every load, and a damaged file is taken out of the cache.
"""

import hashlib
import logging
import os
import re
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from mobilenetv3_cifar.errors import HubError, ModelFolderError
from mobilenetv3_cifar.folder import CONFIG_FILE, ModelFolder, read_folder
from mobilenetv3_cifar.hub import check_token, hub_answers, is_repo_id, named_errors, require_hub
from mobilenetv3_cifar.variants import WEIGHTS_FILE, get_variant, list_variants

REVISION = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*", re.ASCII)
SECONDS_TO_ANSWER_IF_CACHED = 0.25

logger = logging.getLogger(__name__)


def open_model(
    name: str | os.PathLike[str],
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> ModelFolder:
    """The arguments of `MobileNetV3Cifar.from_pretrained`, and its errors."""
    if name in [variant.name for variant in list_variants()]:
        return read_folder(get_variant(str(name)).folder)
    if os.path.isdir(name):
        return read_folder(Path(name))
    if not isinstance(name, str) or not is_repo_id(name):
        return read_folder(get_variant(os.fspath(name)).folder)  # raises, and lists the variants
    check_revision(revision)
    check_token(token)
    folder = fetch(name, revision, cache_dir, token, local_files_only)
    forget_damaged(folder)
    return read_folder(folder)


def check_revision(revision: str | None) -> None:
    """The client makes a file name of a revision, unchecked."""
    if revision is not None and (not REVISION.fullmatch(revision) or ".." in revision):
        raise HubError(f"revision {revision!r:.100} is no branch, tag or commit")


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
    if cached is not None and not hub_answers(SECONDS_TO_ANSWER_IF_CACHED):
        logger.warning("%s is silent; %s comes from the cache", constants.ENDPOINT, repo_id)
        return cached
    with named_errors(f"there is no folder {repo_id}; loading it from the Hub"):
        require_hub()
        return snapshot(local=False)


def forget_damaged(folder: Path) -> None:
    """Check each file against the hash that the cache calls it by; drop those that differ.

    Raises:
        ModelFolderError: a file differed.
    """
    for path in (folder / CONFIG_FILE, folder / WEIGHTS_FILE):
        if not path.is_symlink():  # missing, or a system without links: the config's hash remains
            continue
        blob = path.parent / os.readlink(path)  # one link on; a second may follow
        if blob.is_file() and is_damaged(blob.name, blob.read_bytes()):
            blob.resolve().unlink()
            blob.unlink(missing_ok=True)
            path.unlink()
            raise ModelFolderError(
                f"{path} was damaged and is taken out of the cache: load it again"
            )


def is_damaged(name: str, content: bytes) -> bool:
    """The Hub names large files by SHA-256, and small ones as git does."""
    if len(name) == 64:
        return hashlib.sha256(content).hexdigest() != name
    git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    return len(name) == 40 and git.hexdigest() != name
