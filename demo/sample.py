"""Read the test images that ship with the demo: ten examples, and a sample of 300 images.

We chose examples that are easy to recognise by eye, whatever the networks predict for them. In the
order of the classes, the examples are test images 90, 82, 75, 103, 94, 16, 29, 60, 54 and 11. The
sample contains the first thirty test images of each class.
"""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from demo.serving.folder import new_folder
from mobilenetv3_cifar.preprocessing import LABELS, NATIVE_SIZE

ASSETS = Path(__file__).parent / "assets"
COLUMNS = 20  # images per row of sample.png


class SampleImage(NamedTuple):
    image: Image.Image
    test_index: int
    label: str  # the true class


def example_files() -> list[Path]:
    return [ASSETS / f"{label}.png" for label in LABELS]


@cache
def sample() -> dict[str, SampleImage]:
    """Return the images of the sample in a dictionary with keys such as "test-90"."""
    sheet = np.asarray(Image.open(ASSETS / "sample.png").convert("RGB"))
    side = NATIVE_SIZE
    rows = sheet.reshape(-1, side, COLUMNS, side, 3)
    images = rows.swapaxes(1, 2).reshape(-1, side, side, 3)
    listed = json.loads((ASSETS / "sample.json").read_text(encoding="utf-8"))
    return {
        f"test-{index}": SampleImage(Image.fromarray(image), index, label)
        for image, index, label in zip(images, listed["test_index"], listed["label"], strict=True)
    }


def file_of(key: str) -> Path | None:
    """Return the path of image `key`, such as "cat" or "test-90", or None for an unknown key."""
    if key in LABELS:
        return ASSETS / f"{key}.png"
    return write_png(sample()[key].image, f"{key}.png") if key in sample() else None


def write_png(image: Image.Image, name: str) -> Path:
    """Write a PNG file into a new folder, so that no file is replaced while it is served."""
    path = new_folder("made") / name
    image.save(path, compress_level=1)  # four times as fast as the default, but the file is larger
    return path
