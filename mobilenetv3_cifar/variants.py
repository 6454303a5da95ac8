"""List the shipped variants. Each variant is a folder with weights and measurements.

Importing this module does not import torch.
"""

import difflib
import json
from dataclasses import dataclass
from pathlib import Path

from mobilenetv3_cifar.errors import VariantError, quote
from mobilenetv3_cifar.files import read_file

CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.json"
HISTORY_FILE = "history.csv"
WEIGHTS_FILE = "model.safetensors"
ONNX_FILE = "model.onnx"
INT8_FILE = "model-int8.onnx"
MAX_METRICS_BYTES = 2**20


@dataclass(frozen=True)
class Variant:
    """A shipped network. Accuracies are in [0, 1]."""

    name: str
    accuracy: float  # validation accuracy; choose a variant by this, not by test accuracy
    test_accuracy: float
    parameters: int
    macs: int  # multiply-accumulate operations in convolutions and linear layers
    bytes: int  # size of the weights file

    @property
    def folder(self) -> Path:
        return variants_folder() / self.name


def variants_folder() -> Path:
    """Return the folder `model_cards` of the installed package, or else of the checkout."""
    package = Path(__file__).parent
    installed = package / "model_cards"
    return installed if installed.is_dir() else package.parent / "model_cards"


def shipped_folder(name: str) -> Path | None:
    return next((folder for folder in shipped_folders() if folder.name == name), None)


def shipped_folders() -> list[Path]:
    return [path.parent for path in variants_folder().glob(f"*/{METRICS_FILE}")]


def list_variants() -> list[Variant]:
    """Return all shipped variants, sorted by validation accuracy (best first), then by name.

    Raises:
        VariantError: a variant's folder is incomplete, or the package is inside a zip file.
    """
    if not variants_folder().is_dir():
        raise VariantError(
            f"{variants_folder()} is missing: install the package from its wheel; it does not work "
            "inside a zip file"
        )
    variants = map(read_variant, shipped_folders())
    return sorted(variants, key=lambda variant: (-variant.accuracy, variant.name))


def get_variant(name: str | None = None) -> Variant:
    """Return the shipped variant `name`, by default the one with the best validation accuracy.

    Raises:
        VariantError: the name is unknown (the message lists all names), or `list_variants` fails.
    """
    variants = list_variants()
    for variant in variants:
        if name in (None, variant.name):
            return variant
    names = [variant.name for variant in variants]
    close = difflib.get_close_matches(str(name)[:100], names, n=1)
    hint = f"did you mean {close[0]}? Shipped" if close else "shipped"
    raise VariantError(f"unknown variant {quote(name)}; {hint}: {', '.join(names) or 'none'}")


def read_variant(folder: Path) -> Variant:
    try:
        metrics = json.loads(read_file(folder / METRICS_FILE, MAX_METRICS_BYTES))
        return Variant(
            name=folder.name,
            accuracy=metrics["validation"]["accuracy"],
            test_accuracy=metrics["test"]["accuracy"],
            parameters=metrics["parameters"],
            macs=metrics["macs"],
            bytes=(folder / WEIGHTS_FILE).stat().st_size,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        cause = quote(error)
        raise VariantError(f"the shipped variant in {folder} is incomplete: {cause}") from error
