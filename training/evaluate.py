"""Measure a trained network on a dataset split.

    python -m training.evaluate small-dropout0.7-epochs4

measures a shipped variant, or any model folder, on the test set and prints JSON: the `test` object
of its `metrics.json`, digit for digit on the same machine.
"""

import argparse
import json
from pathlib import Path

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.preprocessing import LABELS
from training.commands import one_line_errors
from training.dataset.cifar10 import load
from training.errors import DataError
from training.loop.validation import split_logits
from training.reports.metrics import measure


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("model", metavar="NAME_OR_FOLDER", help="a shipped variant or a folder")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="default: data")
    arguments = parser.parse_args()
    with one_line_errors():
        model = MobileNetV3Cifar.from_pretrained(arguments.model)
        if model.config.labels != LABELS:
            raise DataError(f"{arguments.model} has other classes than CIFAR-10")
        test = load(arguments.data_dir).test
        print(json.dumps(measure(model, split_logits(model, test, "test"), test.labels), indent=2))


if __name__ == "__main__":
    main()
