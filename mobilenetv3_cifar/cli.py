"""The options of the command line.

python -m mobilenetv3_cifar predict photos/ --top-k 3
"""

import argparse
import sys
from pathlib import Path

from mobilenetv3_cifar import __version__, commands
from mobilenetv3_cifar.explanation import METHODS
from mobilenetv3_cifar.output import FORMATS

DESCRIPTION = "List the shipped variants, classify images, show activation maps, export."


def make_parser() -> argparse.ArgumentParser:
    program = Path(sys.argv[0]).name
    if program == "__main__.py":
        program = "python -m mobilenetv3_cifar"
    parser = argparse.ArgumentParser(prog=program, description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"mobilenetv3-cifar {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    network, batches = network_options(), batch_options()

    command = subparsers.add_parser("variants", help="list the shipped variants, best first")
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    command.set_defaults(run=commands.variants)

    command = subparsers.add_parser("predict", parents=[network, batches], help="classify images")
    command.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="a file, a folder, or - for stdin"
    )
    command.add_argument("--top-k", type=int, default=3, help="labels per image; default: 3")
    command.add_argument("--format", choices=FORMATS, default="table")
    command.set_defaults(run=commands.predict)

    command = subparsers.add_parser(
        "evaluate", parents=[network, batches], help="accuracy over a folder per label"
    )
    command.add_argument("folder", type=Path, metavar="FOLDER", help="such as FOLDER/cat/1.png")
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    command.set_defaults(run=commands.evaluate)

    command = subparsers.add_parser(
        "explain", parents=[network], help="write images under their activation maps"
    )
    command.add_argument("path", type=Path, metavar="PATH", help="an image or a folder of images")
    command.add_argument("--method", choices=METHODS, default="gradcam")
    command.add_argument("--target", help="a label, or its index; default: the predicted one")
    command.add_argument("--layer", help="a feature map, such as features (the default)")
    command.add_argument(
        "--output",
        type=Path,
        help="the file to write, or the folder for a folder; default: overlay.png, or overlays",
    )
    command.set_defaults(run=commands.explain_images)

    command = subparsers.add_parser("export", parents=[network], help="write the network as ONNX")
    command.add_argument("--output", type=Path, required=True, metavar="MODEL.onnx")
    command.add_argument(
        "--int8",
        type=Path,
        metavar="FOLDER",
        help="8-bit integers, calibrated with the images of this folder (some hundred)",
    )
    command.set_defaults(run=commands.export)
    return parser


def network_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--variant",
        metavar="NAME",
        help="a shipped variant, a folder, or owner/name on the Hub; default: the best shipped",
    )
    options.add_argument("--device", default="cpu", help="cpu, cuda or mps; default: cpu")
    options.add_argument("--revision", help="a branch, tag or commit of the Hub repository")
    options.add_argument("--token", help="access token; default: the one of `hf auth login`")
    options.add_argument(
        "--local-files-only", action="store_true", help="use the Hub's cache, never go online"
    )
    return options


def batch_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--batch-size",
        type=int,
        default=64,
        help="crops in one pass through the network; default: 64",
    )
    return options
