"""Measure a trained network on a dataset split.

    python -m training.evaluate small-dropout0.7-epochs4
    python -m training.evaluate runs/small-cifar32/seed-0 --split validation

The network is a shipped variant, a model folder or the newest checkpoint of a run. The command
prints the measurements as JSON. The `metrics.json` of a shipped variant contains the same JSON
under `test` or `validation`. With --all, the command adds `flip_averaged` and `corruptions`. For
our own networks, `metrics.json` contains these two for the test images. The last digits of the
numbers can differ between devices. Use the validation images to choose between networks, and the
test images only for a finished network.
"""

import json
from pathlib import Path
from typing import Any

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.command_line import command_parser, one_line_errors
from mobilenetv3_cifar.preprocessing import LABELS
from mobilenetv3_cifar.variants import METRICS_FILE
from training.dataset.cifar10 import load, overlap
from training.errors import DataError
from training.experiments import EXPERIMENTS
from training.loop import checkpoint
from training.loop.devices import make_accelerator
from training.loop.losses import from_run
from training.loop.validation import split_logits, split_outputs
from training.reports.metrics import flip_averaged, measure, robustness
from training.reports.schema import read_metrics


def dataset_split(name: str, folder: Path) -> str:
    """Return the split on which the network in `folder` was trained.

    A run's checkpoint names the split. A model folder's split is that of its experiment, which is
    named by metrics.json or, without that file, by the last part of `name`.
    """
    if newest := checkpoint.read(folder):
        return str(newest[2]["split"]).strip("'")
    metrics = folder / METRICS_FILE
    trained = read_metrics(metrics)["name"] if metrics.exists() else Path(name).name
    if trained in EXPERIMENTS:
        return EXPERIMENTS[trained].recipe.split
    what = f"it is unknown on which images {name} was trained"
    raise DataError(f"{what}: give a run, a variant or its folder, or use --split test")


@one_line_errors()
def main() -> None:
    parser = command_parser("training.evaluate", __doc__)
    parser.add_argument("model", metavar="NAME_OR_FOLDER", help="a variant, model folder or run")
    parser.add_argument("--split", choices=["test", "validation"], default="test")
    more = "also average over each image and its mirror image, and measure corrupted images"
    parser.add_argument("--all", action="store_true", help=more)
    parser.add_argument("--device", default="cpu", help="default: cpu")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="default: data")
    arguments = parser.parse_args()
    run = Path(arguments.model)
    is_run = any(run.glob("step-*.json"))
    model = from_run(run) if is_run else MobileNetV3Cifar.from_pretrained(arguments.model)
    if model.config.labels != LABELS:
        raise DataError(f"the classes of {arguments.model} are not CIFAR-10's")
    split = "35k/15k"  # all splits have the same test images
    if arguments.split == "validation":
        split = dataset_split(arguments.model, model.folder or run)
        if overlap(split, split):
            raise DataError(f"{arguments.model} was trained on the validation images of {split}")
    images = getattr(load(arguments.data_dir, split), arguments.split)
    device = make_accelerator(arguments.device).device
    logits, features = split_outputs(model.to(device), images, arguments.split)
    measured: dict[str, Any] = {**measure(model.config, logits, images.labels, features)}
    if arguments.all:
        mirrored = split_logits(model, images, "mirrored", flip=True)
        measured["flip_averaged"] = flip_averaged(logits, mirrored, images.labels)
        measured["corruptions"] = robustness(model, images)
    print(json.dumps(measured, indent=2))


if __name__ == "__main__":
    main()
