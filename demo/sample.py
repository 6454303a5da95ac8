"""The test images that ship with the demo: ten examples, and a sample of 300 to explore."""

import json
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

from demo.serving.folder import own_folder
from mobilenetv3_cifar.preprocessing import LABELS, NATIVE_SIZE

ASSETS = Path(__file__).parent / "assets"
SHEET_FILE = "sample.png"
LABELS_FILE = "sample.json"
COLUMNS = 20  # images in a row of the sheet


@dataclass(frozen=True)
class SampleImage:
    """An image of the test set, its index there, and its true class."""

    image: Image.Image
    index: int
    label: str

    @property
    def key(self) -> str:
        """What names the image on the page and in its address."""
        return f"test-{self.index}"


def example_files() -> list[Path]:
    """One file a class, in the order of the classes."""
    return [ASSETS / f"{label}.png" for label in LABELS]


@cache
def sample() -> tuple[SampleImage, ...]:
    sheet = Image.open(ASSETS / SHEET_FILE).convert("RGB")
    rows = json.loads((ASSETS / LABELS_FILE).read_text(encoding="utf-8"))
    pairs = zip(rows["test_index"], rows["label"], strict=True)
    return tuple(
        SampleImage(tile(sheet, position), index, label)
        for position, (index, label) in enumerate(pairs)
    )


def tile(sheet: Image.Image, position: int) -> Image.Image:
    row, column = divmod(position, COLUMNS)
    left, top = column * NATIVE_SIZE, row * NATIVE_SIZE
    return sheet.crop((left, top, left + NATIVE_SIZE, top + NATIVE_SIZE))


@cache
def file_of(key: str) -> Path | None:
    """A file with the example ("cat") or test image ("test-90") of that key; None if unknown."""
    if key in LABELS:
        return ASSETS / f"{key}.png"
    entry = find(key)
    if entry is None:
        return None
    # A folder of its own: another thread may be writing the same image.
    path = Path(tempfile.mkdtemp(dir=own_folder())) / f"{key}.png"
    entry.image.save(path)
    return path


def find(key: str) -> SampleImage | None:
    return next((entry for entry in sample() if entry.key == key), None)
