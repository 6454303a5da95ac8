"""Write the test images that the demo ships into demo/assets/.

    python -m demo_tools.make_assets

Ten examples, chosen by eye for being easy to recognise, whatever a network predicts for them; and
as the sample to explore the first thirty test images of each class, in one sheet.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from demo.sample import ASSETS, COLUMNS, LABELS_FILE, SHEET_FILE, example_files
from mobilenetv3_cifar.preprocessing import LABELS, NATIVE_SIZE
from training.dataset.cifar10 import load

EXAMPLES = (90, 82, 75, 103, 94, 16, 29, 60, 54, 11)  # indices in the test set, in LABELS' order
PER_CLASS = 30


def main() -> None:
    test = load(Path("data")).test
    for file, index in zip(example_files(), EXAMPLES, strict=True):
        Image.fromarray(test.images[index]).save(file, optimize=True)
    firsts = [np.flatnonzero(test.labels == index)[:PER_CLASS] for index in range(len(LABELS))]
    chosen = np.sort(np.concatenate(firsts))
    tiles = test.images[chosen].reshape(-1, COLUMNS, NATIVE_SIZE, NATIVE_SIZE, 3)
    sheet = tiles.swapaxes(1, 2).reshape(-1, COLUMNS * NATIVE_SIZE, 3)
    Image.fromarray(sheet).save(ASSETS / SHEET_FILE, optimize=True)
    labels = [LABELS[index] for index in test.labels[chosen]]
    text = json.dumps({"test_index": chosen.tolist(), "label": labels})
    (ASSETS / LABELS_FILE).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
