"""The ONNX files of a shipped variant: float32, and 8-bit integers where these pay.

    python -m training.quantize small-dropout0.7-epochs4

writes `model.onnx` and `model-int8.onnx` into the variant's folder, and what the latter is worth
into `metrics.json` and the card. An 8-bit file that is not faster than the float one at batch 1, or
that loses more than 0.3 points of test accuracy, is not kept.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from tqdm import tqdm

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.export import export_onnx
from mobilenetv3_cifar.files import replace_files
from mobilenetv3_cifar.runtime import run_onnx
from mobilenetv3_cifar.variants import INT8_FILE, METRICS_FILE, ONNX_FILE, get_variant
from training.commands import one_line_errors
from training.dataset.cifar10 import Cifar10, Split, load
from training.experiments import EXPERIMENTS
from training.loop.provenance import device_name
from training.reports import card, results
from training.reports.metrics import summarize
from training.reports.model_folder import to_json

CALIBRATION_IMAGES = 256
BATCH_SIZE = 16  # of onnxruntime; larger ones are no faster
MAX_LOSS = 0.003  # of test accuracy
ROUNDS, REPEATS = 15, 20  # of the timing


def quantize(folder: Path, data: Cifar10) -> dict[str, Any]:
    """Write both files into a model folder; measure the 8-bit one and report it there.

    Returns:
        What `metrics.json` now says of the 8-bit file, whether it is kept or not.
    """
    model = MobileNetV3Cifar.from_pretrained(folder)
    exact, coarse = folder / ONNX_FILE, folder / INT8_FILE
    export_onnx(model, exact)
    export_onnx(model, coarse, int8_images=data.train.images[:CALIBRATION_IMAGES])
    metrics: dict[str, Any] = dict(results.read_metrics(folder / METRICS_FILE))
    scores = summarize(onnx_logits(coarse, data.test), data.test.labels)
    ratio = speedup(exact, coarse, data.test.images[:1])
    pays = ratio > 1 and metrics["test"]["accuracy"] - scores["accuracy"] <= MAX_LOSS
    metrics["int8"] = scores | {
        "kept": pays,
        "bytes": coarse.stat().st_size,
        "speedup": ratio,
        "calibration_pictures": CALIBRATION_IMAGES,
        "onnxruntime": onnxruntime.__version__,
        "device": device_name(torch.device("cpu")),
    }
    if not pays:
        coarse.unlink()
    replace_files(folder, {METRICS_FILE: to_json(metrics)})
    card.write_card(folder)
    return metrics["int8"]


def onnx_logits(path: Path, split: Split) -> torch.Tensor:
    """The outputs of an exported file for all images of a split, float32 (N, C)."""
    session = open_one_thread(path)
    starts = range(0, len(split.images), BATCH_SIZE)
    rows = [
        run_onnx(session, split.images[start : start + BATCH_SIZE])["logits"]
        for start in tqdm(starts, desc=path.name, unit="batch", mininterval=1)
    ]
    return torch.from_numpy(np.concatenate(rows))


def speedup(exact: Path, coarse: Path, images: np.ndarray) -> float:
    """How many times as fast the second file is on one thread: medians of alternating rounds.

    The time is that of the processor, which other work on the machine does not lengthen much.
    """
    sessions = [open_one_thread(path) for path in (exact, coarse)]
    seconds: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for session, times in zip(sessions, seconds, strict=True):
            begun = time.process_time()
            for _ in range(REPEATS):
                run_onnx(session, images)
            times.append(time.process_time() - begun)
    slow, fast = (statistics.median(times[1:]) for times in seconds)  # the first warms up
    return slow / fast


def open_one_thread(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.quantize",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=EXPERIMENTS, metavar="NAME", help=", ".join(EXPERIMENTS))
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="default: data")
    arguments = parser.parse_args()
    with one_line_errors():
        int8 = quantize(get_variant(arguments.name).folder, load(arguments.data_dir))
        print(
            f"{arguments.name}: {results.percent(int8['accuracy'])} test accuracy in 8 bits, "
            f"{int8['speedup']:.2f} times as fast as float: {INT8_FILE} is "
            f"{'' if int8['kept'] else 'not '}kept"
        )


if __name__ == "__main__":
    main()
