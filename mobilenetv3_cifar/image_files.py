"""Find the images in a folder."""

import os
from collections.abc import Callable
from pathlib import Path

# Names of system files and folders, in lower case.
STRAY = frozenset({"__macosx", "@eadir", "desktop.ini", "ehthumbs.db", "icon\r", "thumbs.db"})


def is_stray(name: str) -> bool:
    return name.startswith(".") or name.lower() in STRAY


def find_images(folder: Path, on_error: Callable[[OSError], object]) -> list[Path]:
    """Return the sorted files of a folder and its subfolders, except hidden and system files.

    Files of all types are returned, so that the caller can report each file that is not an image.
    Links to folders are not followed. `on_error` is called for each folder that cannot be read.
    """
    paths = []
    for parent, folders, files in os.walk(folder, onerror=on_error):
        folders[:] = [name for name in folders if not is_stray(name)]
        paths += [Path(parent, name) for name in files if not is_stray(name)]
    return sorted(paths)


def class_folders(folder: Path) -> list[Path]:
    """Return the sorted subfolders of a folder that has one subfolder of images per label."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_stray(path.name))
