"""Implement each command as a function that returns the exit status.

Modules that are slow to import, above all torch, are imported only where they are needed.
"""

import dataclasses
import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from mobilenetv3_cifar import explanation
from mobilenetv3_cifar.classifier import Classifier, Prediction
from mobilenetv3_cifar.errors import ImageError, MobileNetV3CifarError, ModelFolderError
from mobilenetv3_cifar.files import replace_files
from mobilenetv3_cifar.image_files import class_folders, find_images
from mobilenetv3_cifar.images import ImageInput, open_image
from mobilenetv3_cifar.output import FORMATS, PROBABLY_NONE, print_rows, printable
from mobilenetv3_cifar.preprocessing import to_square
from mobilenetv3_cifar.variants import ONNX_FILE, get_variant, list_variants, shipped_folder

STDIN = Path("-")  # compared by identity, because a file can also be called "-"
LONG_WORK = 100  # the smallest number of images for which a progress bar is shown


class Refused:
    """A callable that reports unusable files. `status` is 0 until the first report, then 1."""

    status = 0

    def __call__(self, name: str | os.PathLike[str], reason: object) -> None:
        self.status = 1
        tqdm.write(f"error: {printable(name)}: {printable(str(reason))}", file=sys.stderr)


def load(arguments: Namespace, onnx: bool = True) -> Any:
    """Load the chosen network. If `onnx` is true, prefer onnxruntime to torch: it loads faster."""
    name = arguments.variant or get_variant().name
    folder = shipped_folder(name) or Path(name)
    # GPUs, revisions on the Hub, and activation maps of layers other than "features" need torch.
    onnx &= arguments.device == "cpu" and arguments.revision is None
    onnx &= getattr(arguments, "layer", None) in (None, "features")
    refused: MobileNetV3CifarError | None = None
    if onnx and (folder / ONNX_FILE).is_file():
        try:
            from mobilenetv3_cifar.runtime import OnnxClassifier

            return OnnxClassifier.from_pretrained(folder, threads=0)
        except ModuleNotFoundError:
            pass  # onnxruntime is missing
        except ImportError as error:
            refused = MobileNetV3CifarError(f"onnxruntime cannot be loaded: {error}")
        except ModelFolderError as error:  # model.onnx is damaged or does not match config.json
            refused = error
    try:
        from mobilenetv3_cifar.model import MobileNetV3Cifar
    except ModuleNotFoundError as error:
        if refused:
            raise refused from error
        if not folder.is_dir() and "/" not in name:
            get_variant(name)  # raises an error that lists the variants
        needs = f"a network without {ONNX_FILE}, and --device, --revision and --layer, need it"
        raise MobileNetV3CifarError(f"{error.name} is not installed: {needs}") from error
    options = ("revision", "token", "local_files_only", "device")
    given = {option: getattr(arguments, option) for option in options}
    return MobileNetV3Cifar.from_pretrained(name, **given)


def variants(arguments: Namespace) -> int:
    shipped = list_variants()
    if arguments.json:
        print(json.dumps([dataclasses.asdict(variant) for variant in shipped], indent=2))
        return 0
    print_rows(
        {
            "name": variant.name,
            "validation": f"{variant.accuracy:.2%}",
            "test": f"{variant.test_accuracy:.2%}",
            "parameters": f"{variant.parameters:,}",
            "MACs": f"{variant.macs / 1e6:.1f} M",
            "weights": f"{variant.bytes / 1e6:.1f} MB",
        }
        for variant in shipped
    )
    return 0


def predict(arguments: Namespace) -> int:
    """Classify files, folders and standard input. Return 1 if a path or image is unreadable."""
    refused = Refused()
    files = [file for path in arguments.paths for file in files_of(path, refused)]
    bar = not sys.stdout.isatty()  # on a terminal, the predictions already show the progress
    answers = classify(load(arguments), files, arguments.top_k, arguments.batch_size, refused, bar)
    FORMATS[arguments.format]((str(path), prediction) for path, prediction in answers)
    return refused.status


def files_of(path: Path, refused: Refused) -> list[Path]:
    """If `path` is a folder, return the files that `find_images` finds in it, else [path]."""
    if not path.is_dir():
        return [path]
    files = find_images(path, on_error=lambda error: refused(error.filename, error.strerror))
    if not files:
        refused(path, "the folder has no image files")
    return files


def source_of(path: Path) -> ImageInput:
    return sys.stdin.buffer if path is STDIN else path


def classify(
    model: Classifier, files: list[Path], top_k: int, batch_size: int, refused: Refused, bar: bool
) -> Iterator[tuple[Path, Prediction]]:
    """Yield the path and the prediction of each readable image. Report the others to `refused`.

    Show a progress bar if `bar` is true, stderr is a terminal and there are many images.
    """
    results = model.predict_each(map(source_of, files), top_k, batch_size)
    hidden = not bar or len(files) < LONG_WORK or not sys.stderr.isatty()
    for file, result in zip(files, tqdm(results, total=len(files), disable=hidden), strict=True):
        if isinstance(result, ImageError):
            refused(file, result)
        else:
            yield file, result


def evaluate(arguments: Namespace) -> int:
    """Print the accuracy on a folder that has one subfolder of images per label."""
    folders = class_folders(arguments.folder)
    model, refused = load(arguments), Refused()
    labels = model.config.labels
    unknown = [folder.name for folder in folders if folder.name not in labels]
    if unknown or not folders:
        has = f"the folder {unknown[0]!r}, which is not a label" if unknown else "no folders"
        raise MobileNetV3CifarError(
            f"{arguments.folder} must have one folder per label, but has {has}; "
            f"the labels are: {', '.join(labels)}"
        )
    files = {file: folder.name for folder in folders for file in files_of(folder, refused)}
    answers = classify(model, list(files), 1, arguments.batch_size, refused, bar=True)
    results = [(files[file], prediction) for file, prediction in answers]
    if not results:
        raise MobileNetV3CifarError(f"{arguments.folder} has no image that can be read")

    def score(results: list[tuple[str, Prediction]]) -> dict[str, float]:
        right = sum(label in prediction for label, prediction in results)
        return {"correct": right, "total": len(results), "accuracy": right / len(results)}

    seen = dict.fromkeys(label for label, _ in results)
    per_class = {name: score([each for each in results if each[0] == name]) for name in seen}
    overall = score(results)
    flagged = sum(prediction.probably_none for _, prediction in results)
    if arguments.json:
        print(json.dumps({**overall, "probably_none": flagged, "per_class": per_class}, indent=2))
    else:
        print_rows(
            {"label": label, **row, "accuracy": f"{row['accuracy']:.2%}"}
            for label, row in [*per_class.items(), ("all", overall)]
        )
        print(f"{flagged} of {len(results)} images flagged as probably none of the classes")
    return refused.status


def explain(arguments: Namespace) -> int:
    """Blend an image, or each image of a folder, with its activation map, and write the result."""
    path, output, refused = arguments.path, arguments.output, Refused()
    if path.is_dir():
        output = output or Path("overlays")
        names = [file.relative_to(path) for file in files_of(path, refused)]
        root, own = path.resolve(), output.resolve()
        # Skip the output folder: it may contain overlays of an earlier run.
        names = [name for name in names if own not in map(root.joinpath, name.parents[:-1])]
        targets = {path / name: output / name.with_name(f"{name.name}.png") for name in names}
    else:
        output = output or Path("overlay.png")
        targets = {path: output / f"{path.name}.png" if output.is_dir() else output}
        image_format(targets[path])  # refuse an unknown extension before the slow work
    images = {file.resolve() for file in targets}
    for target in targets.values():
        if target.resolve() in images:
            raise ImageError(f"{target} would replace an input image: choose another --output")
    model = load(arguments)
    for file in tqdm(targets, disable=len(targets) < LONG_WORK or not sys.stderr.isatty()):
        if path.is_dir():
            targets[file].parent.mkdir(parents=True, exist_ok=True)
        try:
            explain_one(model, file, targets[file], arguments)
        except ImageError as error:
            refused(file, error)
    return refused.status


def explain_one(model: Classifier, path: Path, output: Path, arguments: Namespace) -> None:
    image, target = open_image(source_of(path), limits=None), arguments.target
    if target is not None and target not in model.config.labels and target.isdecimal():
        target = int(target)
    result = explanation.explain(model, image, arguments.method, target, arguments.layer)
    content = BytesIO()
    explanation.overlay(image, result.heatmap).save(content, image_format(output))
    try:
        replace_files(output.parent, {output.name: content.getvalue()})
    except OSError as error:
        raise ImageError(f"{output} cannot be written: {error.strerror}") from error
    blank = ", blank map: no positive evidence for the class" if result.blank else ""
    flag = PROBABLY_NONE if result.probabilities.probably_none else ""
    print(f"{printable(output)}: {result.label} {100 * result.probability:.1f} %{blank}{flag}")


def image_format(output: Path) -> str:
    """Return Pillow's name for the image format that the extension of `output` selects."""
    name = Image.registered_extensions().get(output.suffix.lower())
    if name not in Image.SAVE:
        raise ImageError(f"{output} must end in the extension of a writable format, such as .png")
    return name


def export(arguments: Namespace) -> int:
    refused = Refused()
    try:
        from mobilenetv3_cifar.export import export_onnx

        images = calibration_images(arguments.int8, refused) if arguments.int8 else None
        export_onnx(load(arguments, onnx=False), arguments.output, images)
    except ModuleNotFoundError as error:
        install = "pip install torch onnx onnxruntime onnxscript"
        raise MobileNetV3CifarError(f"export needs {error.name}: {install}") from error
    print(f"{printable(arguments.output)}: {arguments.output.stat().st_size:,} bytes")
    return refused.status


def calibration_images(folder: Path, refused: Refused) -> np.ndarray:
    """Return the N readable images of a folder, resized to 32x32 pixels: uint8 (N, 32, 32, 3)."""
    images = []
    for file in files_of(folder, refused):
        try:
            images.append(np.asarray(to_square(open_image(file, limits=None), 32)))
        except ImageError as error:
            refused(file, error)
    if not images:
        raise ImageError(f"{folder} has no image that can be read")
    return np.stack(images)
