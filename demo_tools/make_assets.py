"""Write the test images that the demo ships into demo/assets/.

    python -m demo_tools.make_assets

Ten examples, chosen by eye for being easy to recognise, whatever a network predicts for them; and
as the sample to explore the first thirty test images of each class.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from demo.sample import ASSETS, COLUMNS, LABELS_FILE, SHEET_FILE
from mobilenetv3_cifar.preprocessing import LABELS, NATIVE_SIZE
from training.dataset.cifar10 import Split, load

EXAMPLE_INDICES = (90, 82, 75, 103, 94, 16, 29, 60, 54, 11)  # in the test set, in LABELS' order
SAMPLE_PER_CLASS = 30


def write_examples(test: Split) -> None:
    ASSETS.mkdir(exist_ok=True)
    for label, index in zip(LABELS, EXAMPLE_INDICES, strict=True):
        assert LABELS[test.labels[index]] == label
        Image.fromarray(test.images[index]).save(ASSETS / f"{label}.png", optimize=True)


def write_sample(test: Split) -> None:
    """One sheet, COLUMNS images a row, and the class of each: one file loads faster than 300."""
    firsts = [
        np.flatnonzero(test.labels == index)[:SAMPLE_PER_CLASS] for index in range(len(LABELS))
    ]
    chosen = np.sort(np.concatenate(firsts))
    side = NATIVE_SIZE
    tiles = test.images[chosen].reshape(-1, COLUMNS, side, side, 3)  # (rows, columns, H, W, 3)
    sheet = tiles.transpose(0, 2, 1, 3, 4).reshape(-1, COLUMNS * side, 3)
    Image.fromarray(sheet).save(ASSETS / SHEET_FILE, optimize=True)
    labels = [LABELS[index] for index in test.labels[chosen]]
    text = json.dumps({"test_index": chosen.tolist(), "label": labels})
    (ASSETS / LABELS_FILE).write_text(text + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demo_tools.make_assets")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="default: data")
    test = load(parser.parse_args().data_dir).test
    write_examples(test)
    write_sample(test)


if __name__ == "__main__":
    main()
