"""From a name to a checked model folder: a shipped variant, a folder, or a repository of the Hub.

Repositories are kept in the cache of the Hub's client, as plain files in its snapshot folders. They
are checked by the hashes in config.json at every load, and downloaded again if damaged.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import EntryNotFoundError

from mobilenetv3_cifar.errors import HubError, ModelFolderError
from mobilenetv3_cifar.fetch import RemoteFile, fetch_file, find_file
from mobilenetv3_cifar.files import replace_files
from mobilenetv3_cifar.folder import (
    CONFIG_FILE,
    MAX_BYTES,
    ModelFolder,
    decode_folder,
    read_folder,
)
from mobilenetv3_cifar.hub import (
    MAX_PUBLISHED_BYTES,
    check_revision,
    check_token,
    hub_answers,
    hub_errors,
    is_commit,
    is_published,
    is_repo_id,
    require_hub,
)
from mobilenetv3_cifar.variants import WEIGHTS_FILE, get_variant, shipped_folder

SECONDS_TO_ANSWER_IF_CACHED = 0.4

logger = logging.getLogger(__name__)


def open_model(
    name: str | os.PathLike[str],
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> ModelFolder:
    """The arguments of `MobileNetV3Cifar.from_pretrained`, and its errors."""
    folder = local_folder(name)
    if folder is not None:
        if revision is not None:
            raise ValueError(f"revision is for repositories on the Hub; {folder} has none")
        return read_folder(folder)
    if not isinstance(name, str) or not is_repo_id(name):
        return read_folder(get_variant(os.fspath(name)).folder)  # raises, and lists the variants
    if revision is not None:
        check_revision(revision)
    check_token(token)
    cache = Path(constants.HF_HUB_CACHE if cache_dir is None else cache_dir).expanduser()
    storage = cache / f"models--{name.replace('/', '--')}"
    found = read_cached(name, storage, revision, local_files_only)
    if found is None:
        with hub_errors(f"there is no folder {name}; loading it from the Hub"):
            require_hub()
            found = load(name, storage, revision, token)
    return found._replace(repository=name)


def local_folder(name: str | os.PathLike[str]) -> Path | None:
    shipped = shipped_folder(os.fspath(name))
    if shipped is not None:
        return shipped
    return Path(name) if os.path.isdir(name) else None


def read_cached(
    name: str, storage: Path, revision: str | None, local_files_only: bool
) -> ModelFolder | None:
    """The model in the cache, where the Hub cannot or need not be asked; None to ask it."""
    snapshot = find_snapshot(storage, revision)
    if snapshot is None:
        if local_files_only:
            raise HubError(f"{name} is not in the cache: load it once without local_files_only")
        return None
    hub_may_help = not (local_files_only or constants.HF_HUB_OFFLINE)
    if hub_may_help and not is_commit(revision):
        if hub_answers(SECONDS_TO_ANSWER_IF_CACHED):
            return None
        logger.warning("the Hub does not answer; %s is loaded from the cache", name)
        hub_may_help = False
    try:
        return read_folder(snapshot)
    except ModelFolderError:
        if hub_may_help:
            return None
        raise


def find_snapshot(storage: Path, revision: str | None) -> Path | None:
    """The cached snapshot of a revision: a commit, or what a branch or tag last was."""
    commit = revision or constants.DEFAULT_REVISION
    if not is_commit(commit):
        try:
            commit = (storage / "refs" / commit).read_text(encoding="ascii")[:41]
        except (OSError, ValueError):
            return None
    snapshot = storage / "snapshots" / commit
    whole = is_commit(commit) and all((snapshot / name).is_file() for name in MAX_BYTES)
    return snapshot if whole else None


def load(name: str, storage: Path, revision: str | None, token: str | bool | None) -> ModelFolder:
    """The model of a revision, from the cache if that has its commit, else from the Hub."""
    config = find(name, CONFIG_FILE, revision, token)
    snapshot = storage / "snapshots" / config.commit
    if find_snapshot(storage, config.commit) is not None:
        try:
            return read_folder(snapshot)
        except ModelFolderError as error:
            logger.warning("%s; it is downloaded again", error)
    weights = find(name, WEIGHTS_FILE, config.commit, token)
    contents = {
        file: fetch_file(remote, token, MAX_BYTES[file])
        for file, remote in ((WEIGHTS_FILE, weights), (CONFIG_FILE, config))
    }
    model = decode_folder(Path(name), contents)._replace(path=snapshot)
    refs = {} if is_commit(revision) else {f"refs/{revision or 'main'}": config.commit.encode()}
    files = {f"snapshots/{config.commit}/{file}": content for file, content in contents.items()}
    try:
        write_files(storage, files | refs)
    except OSError as error:
        logger.warning("%s cannot be written (%s): not cached", storage, error.strerror)
    return model


def find(name: str, file: str, revision: str | None, token: str | bool | None) -> RemoteFile:
    try:
        return find_file(name, file, revision, token)
    except EntryNotFoundError as error:
        raise ModelFolderError(f"{file} is missing in {name}; every model has it") from error


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write files by their paths within `folder`, in this order."""
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_files(target.parent, {target.name: content})


def download_published_files(
    repo_id: str,
    snapshot: Path,
    token: str | bool | None,
    wanted: Callable[[str], bool] = is_published,
) -> None:
    """Add to a snapshot in the cache the `wanted` files of its commit.

    Raises:
        HubError: the Hub cannot be reached or refuses.
        ModelFolderError: a file is too large, or was damaged on the way.
    """
    commit = snapshot.name  # the cache calls a snapshot by its commit
    with hub_errors(f"loading the card and figures of {repo_id}"):
        require_hub()
        for path in HfApi(token=token).list_repo_files(repo_id, revision=commit):
            if wanted(path) and not (snapshot / path).is_file():
                remote = find_file(repo_id, path, commit, token)
                write_files(snapshot, {path: fetch_file(remote, token, MAX_PUBLISHED_BYTES)})
