"""The real test pictures that ship with the demo: ten examples, and a sample of 300 to explore."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image

from mobilenetv3_cifar.preprocessing import LABELS, NATIVE_SIZE

ASSETS = Path(__file__).parent / "assets"
SHEET_FILE = "sample.png"
LABELS_FILE = "sample.json"
COLUMNS = 20  # pictures in a row of the sheet


@dataclass(frozen=True)
class SamplePicture:
    """A picture of the test set, its number there, and what it shows."""

    picture: Image.Image
    index: int
    label: str


def example_files() -> list[Path]:
    """One file a class, in the classes' order."""
    return [ASSETS / f"{label}.png" for label in LABELS]


@lru_cache(maxsize=1)
def sample() -> tuple[SamplePicture, ...]:
    sheet = Image.open(ASSETS / SHEET_FILE).convert("RGB")
    rows = json.loads((ASSETS / LABELS_FILE).read_text(encoding="utf-8"))
    pairs = zip(rows["test_index"], rows["label"], strict=True)
    return tuple(
        SamplePicture(cut(sheet, position), index, label)
        for position, (index, label) in enumerate(pairs)
    )


def cut(sheet: Image.Image, position: int) -> Image.Image:
    row, column = divmod(position, COLUMNS)
    left, top = column * NATIVE_SIZE, row * NATIVE_SIZE
    return sheet.crop((left, top, left + NATIVE_SIZE, top + NATIVE_SIZE))
