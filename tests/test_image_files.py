"""These tests check which files count as images, and which folder names count as labels."""

import os
from pathlib import Path

import pytest

from mobilenetv3_cifar.image_files import class_folders, find_images

MEANT = ["a.png", "b/c.JPG", "b/d/e", "notes.txt", "z=1.png"]
STRAY = [
    ".DS_Store",
    ".hidden.png",
    "._a.png",
    "Thumbs.db",
    "b/desktop.ini",
    ".ipynb_checkpoints/a.png",
    "b/.git/x.png",
    "__MACOSX/a.png",
    "b/@eaDir/a.png",
]


@pytest.fixture
def folder(tmp_path):
    for name in [*MEANT, *STRAY]:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "photos"


def test_every_file_is_tried_but_hidden_and_stray_ones(folder):
    paths = find_images(folder, on_error=pytest.fail)
    assert [path.relative_to(folder).as_posix() for path in paths] == sorted(MEANT)


def test_a_hidden_folder_that_is_named_is_searched(folder):
    paths = find_images(folder / ".ipynb_checkpoints", on_error=pytest.fail)
    assert paths == [folder / ".ipynb_checkpoints" / "a.png"]


def test_hidden_and_stray_folders_are_not_labels(folder):
    assert class_folders(folder) == [folder / "b"]


def test_a_circle_of_links_ends(folder):
    os.symlink(folder, folder / "b" / "again")
    assert len(find_images(folder, on_error=pytest.fail)) == len(MEANT)


def test_a_folder_that_cannot_be_read_is_reported():
    errors = []
    assert find_images(Path("no-such-folder"), on_error=errors.append) == []
    assert errors[0].filename == "no-such-folder"
