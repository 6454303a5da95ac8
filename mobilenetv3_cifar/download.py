"""Read and check the model of a shipped variant, a folder or a Hub repository.

Downloads are kept in huggingface_hub's cache. Each time a model is loaded, its files are checked
against the hashes in config.json. If a cached file is damaged, the model is downloaded again,
unless only the cache may be used.
"""

import logging
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import RemoteEntryNotFoundError

from mobilenetv3_cifar import hub
from mobilenetv3_cifar.config import read_config
from mobilenetv3_cifar.errors import HubError, ModelFolderError
from mobilenetv3_cifar.folder import ModelFolder, read_folder
from mobilenetv3_cifar.hub_limits import COMMIT, in_time
from mobilenetv3_cifar.variants import CONFIG_FILE, WEIGHTS_FILE, get_variant, shipped_folder

SECONDS_TO_ANSWER_IF_CACHED = 0.4  # if the Hub takes longer, the cached model is loaded

logger = logging.getLogger(__name__)


def open_model(
    name: str | os.PathLike[str],
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> ModelFolder:
    """Read a model. The parameters and errors are as in `MobileNetV3Cifar.from_pretrained`."""
    folder = shipped_folder(os.fspath(name)) or (Path(name) if os.path.isdir(name) else None)
    if folder is not None:
        if revision is not None:
            raise ValueError(f"revision is for repositories on the Hub, but {folder} is a folder")
        return read_folder(folder)
    if not isinstance(name, str) or not hub.is_repo_id(name):
        return read_folder(get_variant(os.fspath(name)).folder)  # get_variant always raises here
    if revision is not None:
        hub.check_revision(revision)
    hub.check_token(token)
    cache = Path(constants.HF_HUB_CACHE if cache_dir is None else cache_dir).expanduser()
    return load(name, revision, cache, token, local_files_only)._replace(repository=name)


def load(
    name: str, revision: str | None, cache: Path, token: str | bool | None, local: bool
) -> ModelFolder:
    """Load repository `name` from the cache or the Hub. If `local` is true, use only the cache."""
    try:
        cached = isinstance(try_to_load_from_cache(name, WEIGHTS_FILE, cache, revision), str)
    except (OSError, ValueError):  # the cache is damaged
        cached = False
    if local and not cached:
        raise HubError(f"{name} is not in the cache: load it once without local_files_only")
    local |= cached and constants.HF_HUB_OFFLINE
    fixed = COMMIT.fullmatch(revision or "")  # unlike a branch or tag, a commit never changes
    if cached and not (local or fixed or hub.hub_answers(SECONDS_TO_ANSWER_IF_CACHED)):
        logger.warning("the Hub does not answer; %s is loaded from the cache", name)
        local = True

    def fetch(cache: Path, force: bool = False) -> ModelFolder:
        where = {"cache_dir": cache, "local_files_only": local, "force_download": force}
        download = partial(hf_hub_download, name, token=token, **where)
        folder = Path(download(CONFIG_FILE, revision=revision)).parent
        read_config(folder)  # refuses other kinds of models before their weights are downloaded
        download(WEIGHTS_FILE, revision=folder.name)  # the folder is named after the commit
        return read_folder(folder)

    with hub.hub_errors(f"loading {name} from the Hub"):
        if not cached:
            hub.require_hub()
        try:
            return fetch(cache) if local else in_time(lambda: fetch(cache))
        except RemoteEntryNotFoundError as error:
            raise ModelFolderError(
                f"{CONFIG_FILE} or {WEIGHTS_FILE} is missing in {name}; every model needs both"
            ) from error
        except ModelFolderError as error:
            if local:
                raise
            logger.warning("%s; the model is downloaded again", error)
            return in_time(lambda: fetch(cache, force=True))
        except OSError as error:
            if error.errno is None:  # the error is from the HTTP client, not from the disk
                raise
            logger.warning(
                "%s cannot be written (%s), so the model is not cached", cache, error.strerror
            )
            with tempfile.TemporaryDirectory() as temporary:
                return in_time(lambda: fetch(Path(temporary)))


def fetch_files(
    repo_id: str, commit: str, token: str | bool | None, wanted: Callable[[str], bool], folder: Path
) -> None:
    """Download to `folder` all files of a commit for which `wanted(path)` is true."""

    def fetch() -> None:
        for path in HfApi(token=token).list_repo_files(repo_id, revision=commit):
            if wanted(path):
                hf_hub_download(repo_id, path, revision=commit, local_dir=folder, token=token)

    hub.ask(f"loading the card and figures of {repo_id}", fetch)
