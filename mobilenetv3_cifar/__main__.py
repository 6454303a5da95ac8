"""Run the command-line interface. If an expected error occurs, print one line, not a traceback.

python -m mobilenetv3_cifar predict photos/ --top-k 3
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mobilenetv3_cifar import __version__
from mobilenetv3_cifar.errors import MobileNetV3CifarError, escape

DESCRIPTION = "Classify images, measure accuracy, draw activation maps, and export to ONNX."
VARIANT = "a shipped variant, a folder, or owner/name on the Hub; default: the best variant"
OUTPUT = (
    "the image to write (default: overlay.png), or if PATH is a folder, the folder to write to "
    "(default: overlays)"
)


def main() -> None:
    if sys.stderr is None:  # stderr is closed; print(file=None) would write to stdout
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115
    if sys.stdout is None:
        sys.exit("error: standard output is closed")
    try:
        try:
            status = run()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the program that reads the output has closed the pipe
        status = 1
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        status = 130
    except OSError as error:
        where = f"{escape(str(error.filename))}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        status = 1
    except (MobileNetV3CifarError, ValueError, RuntimeError) as error:
        # torch's error messages can have several lines, for example if a GPU is out of memory.
        print(f"error: {error}".splitlines()[0], file=sys.stderr)
        status = 1
    sys.exit(status)


def given(text: str) -> str:
    """Return `text`. Refuse an empty string, which often comes from an unset shell variable."""
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def path(text: str) -> Path:
    from mobilenetv3_cifar.commands import STDIN

    return STDIN if text == "-" else Path(given(text))


def run() -> int:
    # This import is here so that `main` also handles Ctrl-C during the import.
    from mobilenetv3_cifar.output import make_encodable

    make_encodable()
    arguments = make_parser().parse_args()
    return arguments.run(arguments)


def make_parser() -> argparse.ArgumentParser:
    from mobilenetv3_cifar import commands
    from mobilenetv3_cifar.explanation import METHODS
    from mobilenetv3_cifar.output import FORMATS

    program = Path(sys.argv[0]).name
    if program == "__main__.py":
        program = "python -m mobilenetv3_cifar"
    parser = argparse.ArgumentParser(prog=program, description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"mobilenetv3-cifar {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    network = argparse.ArgumentParser(add_help=False)
    option: Callable[..., Any] = network.add_argument
    option("--variant", type=given, metavar="NAME", help=VARIANT)
    option("--device", default="cpu", help="cpu, cuda or mps; default: cpu")
    option("--revision", help="a branch, tag or commit of the Hub repository")
    option("--token", help="the Hub's access token; default: the token saved by `hf auth login`")
    option(
        "--local-files-only", action="store_true", help="use only cached downloads and stay offline"
    )

    batches, as_json = (argparse.ArgumentParser(add_help=False) for _ in range(2))
    size_help = "images per pass through the network, each with all its views; default: 64"
    batches.add_argument("--batch-size", type=int, default=64, help=size_help)
    as_json.add_argument("--json", action="store_true", help="print JSON instead of a table")

    def add(name: str, summary: str, *parents: argparse.ArgumentParser) -> Callable[..., Any]:
        command = subparsers.add_parser(name, parents=parents, help=summary)
        command.set_defaults(run=getattr(commands, name))
        return command.add_argument

    add("variants", "list the shipped variants, best first", as_json)

    option = add("predict", "classify images", network, batches)
    option("paths", nargs="+", type=path, metavar="PATH", help="a file, a folder, or - for stdin")
    option("--top-k", type=int, default=3, help="labels per image; default: 3")
    option("--format", choices=FORMATS, default="table")

    summary = "measure accuracy on a folder with one subfolder of images per label"
    option = add("evaluate", summary, network, batches, as_json)
    option("folder", type=path, metavar="FOLDER", help="contains images such as FOLDER/cat/1.png")

    option = add("explain", "draw activation maps over images", network)
    option("path", type=path, metavar="PATH", help="an image or a folder of images")
    option("--method", choices=METHODS, default="gradcam")
    option("--target", help="a label or its index; default: the predicted label")
    option("--layer", help="layer of the activation map; default: features, the last layer")
    option("--output", type=path, help=OUTPUT)

    option = add("export", "write the network as an ONNX file", network)
    option("--output", type=path, required=True, metavar="MODEL.onnx")
    int8_help = "write an 8-bit file, calibrated on the few hundred images in this folder"
    option("--int8", type=path, metavar="FOLDER", help=int8_help)
    return parser


if __name__ == "__main__":
    main()
