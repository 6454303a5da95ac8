"""A shipped variant in 8-bit integers: its ONNX file, and what that file is worth.

    python -m training.quantize small-dropout0.7-epochs4

writes `model-int8.onnx` into the variant's folder, from where `training.publish` takes it along to
the Hub, and its figures into `metrics.json` and the card. The repository keeps the figures alone.
"""

import argparse
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from PIL import Image
from tqdm import tqdm

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.export import export_onnx, run_onnx
from mobilenetv3_cifar.files import replace_files
from mobilenetv3_cifar.hub import INT8_FILE
from mobilenetv3_cifar.prediction import batches
from mobilenetv3_cifar.preprocessing import to_input, to_square
from mobilenetv3_cifar.variants import METRICS_FILE, get_variant
from training.commands import one_line_errors
from training.dataset.cifar10 import Cifar10, Split, load
from training.experiments import EXPERIMENTS
from training.loop.provenance import device_name
from training.publish import to_json
from training.reports import card, results
from training.reports.metrics import summarize

CALIBRATION_PICTURES = 256
BATCH_SIZE = 16  # of onnxruntime; larger ones are no faster


def quantize(folder: Path, data: Cifar10) -> dict[str, Any]:
    """Write the 8-bit file of a model folder, measure it on the test pictures, and say so there."""
    model = MobileNetV3Cifar.from_pretrained(folder)
    path = folder / INT8_FILE
    export_onnx(model, path, int8_images=data.train.images[:CALIBRATION_PICTURES])
    logits = onnx_logits(path, model, data.test)
    metrics: dict[str, Any] = dict(results.read_metrics(folder / METRICS_FILE))
    metrics["int8"] = summarize(logits, data.test.labels) | {
        "bytes": path.stat().st_size,
        "calibration_pictures": CALIBRATION_PICTURES,
        "onnxruntime": onnxruntime.__version__,
        "device": device_name(torch.device("cpu")),
    }
    replace_files(folder, {METRICS_FILE: to_json(metrics)})
    card.write_card(folder)
    return metrics["int8"]


def onnx_logits(path: Path, model: MobileNetV3Cifar, split: Split) -> torch.Tensor:
    """What an exported file answers to all pictures of a split, float32 (N, C)."""
    size = model.config.image_size
    images = tqdm(split.images, desc=path.name, unit="img", mininterval=1)
    squares = (to_square(Image.fromarray(image), size) for image in images)
    inputs = (
        to_input(batch, model.config.mean, model.config.std).numpy()
        for batch in batches(squares, BATCH_SIZE)
    )
    return torch.from_numpy(run_onnx(path.read_bytes(), inputs))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.quantize", description=__doc__)
    parser.add_argument("name", choices=EXPERIMENTS, metavar="NAME", help=", ".join(EXPERIMENTS))
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="default: data")
    arguments = parser.parse_args()
    with one_line_errors():
        found = quantize(get_variant(arguments.name).folder, load(arguments.data_dir))
        accuracy = results.percent(found["accuracy"])
        print(f"{arguments.name}: {accuracy} of the test pictures right, in 8 bits")


if __name__ == "__main__":
    main()
