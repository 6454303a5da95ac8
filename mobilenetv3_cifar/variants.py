"""The shipped variants: a folder each, with its measured figures; one name is one folder."""

import json
from dataclasses import dataclass
from pathlib import Path

from mobilenetv3_cifar.errors import VariantError

METRICS_FILE = "metrics.json"
WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True)
class Variant:
    """A shipped network. Accuracies are fractions of 1; `macs`: of convolutions, linear layers."""

    name: str
    accuracy: float  # on the 15,000 validation pictures, which choices may rest on
    test_accuracy: float
    parameters: int
    macs: int
    bytes: int  # of the weights file

    @property
    def folder(self) -> Path:
        return variants_folder() / self.name


def variants_folder() -> Path:
    """`model_cards/`: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "model_cards"
    return installed if installed.is_dir() else package.parent / "model_cards"


def shipped_folder(name: str) -> Path | None:
    """The folder of the shipped variant of that name, where there is one."""
    return next((folder for folder in shipped_folders() if folder.name == name), None)


def shipped_folders() -> list[Path]:
    return [path.parent for path in variants_folder().glob(f"*/{METRICS_FILE}")]


def list_variants() -> list[Variant]:
    """All shipped variants, best validation accuracy first, ties by name.

    Raises:
        VariantError: a variant's folder is not whole.
    """
    found = map(read_variant, shipped_folders())
    return sorted(found, key=lambda variant: (-variant.accuracy, variant.name))


def get_variant(name: str | None = None) -> Variant:
    """The shipped variant of that name; without one, the best on validation pictures.

    Raises:
        VariantError: there is no such variant; the message lists those there are.
    """
    variants = list_variants()
    for variant in variants:
        if name in (None, variant.name):
            return variant
    names = ", ".join(variant.name for variant in variants) or "none is shipped"
    raise VariantError(f"no variant is called {name!r}; there are: {names}")


def read_variant(folder: Path) -> Variant:
    try:
        metrics = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
        return Variant(
            name=folder.name,
            accuracy=metrics["validation"]["accuracy"],
            test_accuracy=metrics["test"]["accuracy"],
            parameters=metrics["parameters"],
            macs=metrics["macs"],
            bytes=(folder / WEIGHTS_FILE).stat().st_size,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VariantError(f"the shipped variant in {folder} is not whole: {error!r}") from error
