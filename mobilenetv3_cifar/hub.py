"""Model folders from the Hugging Face Hub, and to it."""

import os
import re
from pathlib import Path

from huggingface_hub import snapshot_download

from mobilenetv3_cifar.folder import CONFIG_FILE, ModelFolder, read_folder
from mobilenetv3_cifar.variants import WEIGHTS_FILE, get_variant, list_variants

REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


def open_model(
    name: str | os.PathLike[str],
    revision: str | None,
    cache_dir: str | Path | None,
    token: str | None,
    local_files_only: bool,
) -> ModelFolder:
    """A shipped variant, else an existing folder, else the Hub's "owner/name": read and checked."""
    if name in [variant.name for variant in list_variants()]:
        return read_folder(get_variant(str(name)).folder)
    if os.path.isdir(name):
        return read_folder(Path(name))
    if not REPO.fullmatch(str(name)):
        return read_folder(get_variant(str(name)).folder)
    folder = snapshot_download(
        str(name),
        revision=revision,
        cache_dir=cache_dir,
        token=token,
        local_files_only=local_files_only,
        allow_patterns=[CONFIG_FILE, WEIGHTS_FILE],
    )
    return read_folder(Path(folder))
