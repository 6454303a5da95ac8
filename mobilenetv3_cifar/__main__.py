"""The command line: list the variants, classify pictures, show where a network looks, export.

python -m mobilenetv3_cifar predict photos/ --top-k 3
"""

import argparse
import csv
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import get_args

from PIL import Image
from tqdm import tqdm

from mobilenetv3_cifar.errors import ImageError, MobileNetV3CifarError
from mobilenetv3_cifar.explanation import Method, explain, overlay
from mobilenetv3_cifar.images import open_image
from mobilenetv3_cifar.model import MobileNetV3Cifar
from mobilenetv3_cifar.prediction import predict_each
from mobilenetv3_cifar.variants import get_variant, list_variants

LONG_WORK = 100  # pictures that deserve a progress bar
Prediction = tuple[Path, dict[str, float]]


def variants(arguments: argparse.Namespace) -> int:
    row = "{:32} {:>10} {:>10} {:>10} {:>9} {:>8}"
    print(row.format("name", "validation", "test", "parameters", "MACs", "weights"))
    for variant in list_variants():
        print(
            row.format(
                variant.name,
                f"{100 * variant.accuracy:.2f} %",
                f"{100 * variant.test_accuracy:.2f} %",
                f"{variant.parameters:,}",
                f"{variant.macs / 1e6:.1f} M",
                f"{variant.bytes / 1e6:.1f} MB",
            )
        )
    return 0


def predict(arguments: argparse.Namespace) -> int:
    """Classify files and folders; an unreadable file is said on stderr and makes the exit 1."""
    if arguments.top_k < 1:
        raise MobileNetV3CifarError(f"--top-k must be at least 1, not {arguments.top_k}")
    refused: list[Path] = []
    files = list(find_files(arguments.paths, refused))
    model = load(arguments)
    FORMATS[arguments.format](classify(model, files, arguments.top_k, refused))
    return 1 if refused else 0


def find_files(paths: Iterable[Path], refused: list[Path]) -> Iterator[Path]:
    """Each file as named, and every file of a folder and the folders in it, sorted by name.

    A folder without any is said, and added to `refused`.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = sorted(file for file in path.rglob("*") if file.is_file())
        if not inside:
            refused.append(path)
            print(f"error: {path}: the folder holds no files", file=sys.stderr)
        yield from inside


def classify(
    model: MobileNetV3Cifar, files: list[Path], top_k: int, refused: list[Path]
) -> Iterator[Prediction]:
    """The likeliest labels of each picture; others are said, and added to `refused`."""
    opened: deque[Path] = deque()  # waiting for their answers

    def pictures() -> Iterator[Image.Image]:
        for path in tqdm(files, unit="img", disable=len(files) < LONG_WORK):
            try:
                picture = open_image(path)
            except ImageError as error:
                refused.append(path)
                tqdm.write(f"error: {path}: {error}", file=sys.stderr)
            else:
                opened.append(path)
                yield picture

    for answer in predict_each(model, pictures(), top_k):
        yield opened.popleft(), answer


def print_table(found: Iterable[Prediction]) -> None:
    for path, answer in found:
        likeliest = ", ".join(f"{label} {100 * share:.1f} %" for label, share in answer.items())
        print(f"{path}: {likeliest}")


def print_csv(found: Iterable[Prediction]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["path", "rank", "label", "probability"])
    for path, answer in found:
        for rank, (label, share) in enumerate(answer.items(), start=1):
            writer.writerow([path, rank, label, share])


def print_jsonl(found: Iterable[Prediction]) -> None:
    for path, answer in found:
        ranked = [{"label": label, "probability": share} for label, share in answer.items()]
        print(json.dumps({"path": str(path), "predictions": ranked}))


FORMATS: dict[str, Callable[[Iterable[Prediction]], None]] = {
    "table": print_table,
    "csv": print_csv,
    "jsonl": print_jsonl,
}


def explain_image(arguments: argparse.Namespace) -> int:
    """Write the picture under its activation map; the file's ending chooses its format."""
    output: Path = arguments.output
    if Image.registered_extensions().get(output.suffix.lower()) not in Image.SAVE:
        ending = output.suffix or "no ending"
        raise ImageError(f"{output}: {ending} names no picture format that can be written")
    picture, model, target = open_image(arguments.image), load(arguments), arguments.target
    if target is not None and target not in model.config.labels and target.isdecimal():
        target = int(target)
    try:
        found = explain(model, picture, arguments.method, target, arguments.layer)
    except ModuleNotFoundError as error:
        raise MobileNetV3CifarError(
            f"maps need {error.name}: pip install 'mobilenetv3-cifar[explain]'"
        ) from error
    save_whole(overlay(picture, found.heatmap), output)
    print(f"{output}: {found.label} {100 * found.probability:.1f} %")
    if found.blank:
        print("the map is blank: nothing in the picture spoke for that class", file=sys.stderr)
    return 0


def save_whole(image: Image.Image, output: Path) -> None:
    """Write the file whole or not at all."""
    partial = output.with_name(f".{os.getpid()}-{output.name}")
    try:
        image.save(partial)
        os.replace(partial, output)
    finally:
        partial.unlink(missing_ok=True)


def export(arguments: argparse.Namespace) -> int:
    try:
        # Imported on use: it needs onnx and onnxruntime, which the package itself does not.
        from mobilenetv3_cifar.export import export_onnx

        export_onnx(load(arguments), arguments.output)
    except ModuleNotFoundError as error:
        raise MobileNetV3CifarError(
            f"export needs {error.name}: pip install 'mobilenetv3-cifar[export]'"
        ) from error
    print(f"{arguments.output}: {arguments.output.stat().st_size:,} bytes")
    return 0


def load(arguments: argparse.Namespace) -> MobileNetV3Cifar:
    """The variant, folder or Hub repository asked for; by default the best shipped variant."""
    name = arguments.variant or get_variant().name
    return MobileNetV3Cifar.from_pretrained(name, device=arguments.device)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mobilenetv3_cifar", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    which = argparse.ArgumentParser(add_help=False)
    which.add_argument(
        "--variant",
        metavar="NAME",
        help="a shipped variant, a folder, or owner/name on the Hub; default: the best shipped",
    )
    which.add_argument("--device", default="cpu", help="cpu, cuda or mps; default: cpu")

    command = commands.add_parser("variants", help="list the shipped variants, best first")
    command.set_defaults(run=variants)

    command = commands.add_parser("predict", parents=[which], help="classify pictures")
    command.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file or a folder")
    command.add_argument("--top-k", type=int, default=3, help="labels a picture; default: 3")
    command.add_argument("--format", choices=FORMATS, default="table")
    command.set_defaults(run=predict)

    command = commands.add_parser("explain", parents=[which], help="show where the network looks")
    command.add_argument("image", type=Path, metavar="IMAGE")
    command.add_argument("--method", choices=get_args(Method), default="gradcam")
    command.add_argument("--target", help="a class, or its index; default: the predicted one")
    command.add_argument("--layer", help="a feature map, such as features (the default)")
    command.add_argument("--output", type=Path, default=Path("overlay.png"))
    command.set_defaults(run=explain_image)

    command = commands.add_parser("export", parents=[which], help="write the network as ONNX")
    command.add_argument("--output", type=Path, required=True, metavar="MODEL.onnx")
    command.set_defaults(run=export)
    return parser


def main() -> None:
    arguments = make_parser().parse_args()
    if isinstance(sys.stdout, TextIOWrapper):  # names of files need not be UTF-8
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        status = arguments.run(arguments)
        sys.stdout.flush()
        sys.exit(status)
    except BrokenPipeError:  # whoever reads has read enough; Python would complain at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (MobileNetV3CifarError, ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
