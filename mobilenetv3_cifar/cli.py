"""The commands and options of the command line.

python -m mobilenetv3_cifar predict photos/ --top-k 3
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mobilenetv3_cifar import __version__, commands
from mobilenetv3_cifar.explanation import METHODS
from mobilenetv3_cifar.output import FORMATS

DESCRIPTION = "List the shipped variants, classify images, show activation maps, export."
VARIANT = "a shipped variant, a folder, or owner/name on the Hub; default: the best shipped"
OUTPUT = "the file to write, or a folder if PATH is one; default: overlay.png, or overlays"


def make_parser() -> argparse.ArgumentParser:
    program = Path(sys.argv[0]).name
    if program == "__main__.py":
        program = "python -m mobilenetv3_cifar"
    parser = argparse.ArgumentParser(prog=program, description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"mobilenetv3-cifar {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    network = argparse.ArgumentParser(add_help=False)
    option: Callable[..., Any] = network.add_argument
    option("--variant", metavar="NAME", help=VARIANT)
    option("--device", default="cpu", help="cpu, cuda or mps; default: cpu")
    option("--revision", help="a branch, tag or commit of the Hub repository")
    option("--token", help="access token; default: the one of `hf auth login`")
    option("--local-files-only", action="store_true", help="use only the cache, never go online")

    batches = argparse.ArgumentParser(add_help=False)
    batches.add_argument(
        "--batch-size", type=int, default=64, help="images in one pass of the network; default: 64"
    )
    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="print JSON instead of a table")

    def add(name: str, summary: str, *parents: argparse.ArgumentParser) -> Callable[..., Any]:
        command = subparsers.add_parser(name, parents=parents, help=summary)
        command.set_defaults(run=getattr(commands, name))
        return command.add_argument

    add("variants", "list the shipped variants, best first", as_json)

    option = add("predict", "classify images", network, batches)
    option("paths", nargs="+", type=Path, metavar="PATH", help="a file, a folder, or - for stdin")
    option("--top-k", type=int, default=3, help="labels per image; default: 3")
    option("--format", choices=FORMATS, default="table")

    option = add("evaluate", "accuracy on folders named after labels", network, batches, as_json)
    option("folder", type=Path, metavar="FOLDER", help="such as FOLDER/cat/1.png")

    option = add("explain", "write images under their activation maps", network)
    option("path", type=Path, metavar="PATH", help="an image or a folder of images")
    option("--method", choices=METHODS, default="gradcam")
    option("--target", help="a label, or its index; default: the predicted one")
    option("--layer", help="a feature map, such as features (the default)")
    option("--output", type=Path, help=OUTPUT)

    option = add("export", "write the network as ONNX", network)
    option("--output", type=Path, required=True, metavar="MODEL.onnx")
    option(
        "--int8",
        type=Path,
        metavar="FOLDER",
        help="8-bit integers, calibrated on this folder of a few hundred images",
    )
    return parser
