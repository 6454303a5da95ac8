"""Write `model.onnx` (float32) and, if it is worthwhile, `model-int8.onnx` for a shipped variant.

    python -m training.quantize small-dropout0.7-epochs4

The 8-bit file is kept only if it is faster than the float32 file at batch size 1 and loses at most
0.3 points of validation accuracy. The latencies on this machine are written to `metrics.json` and
the model card. If the 8-bit file is kept, its accuracy and speed are written there too.
"""

import statistics
import tempfile
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.command_line import command_parser, one_line_errors
from mobilenetv3_cifar.export import export_onnx
from mobilenetv3_cifar.files import replace_files
from mobilenetv3_cifar.runtime import open_session, run_onnx
from mobilenetv3_cifar.variants import INT8_FILE, METRICS_FILE, ONNX_FILE, get_variant
from training.dataset.cifar10 import Cifar10, Split, load
from training.experiments import EXPERIMENTS
from training.loop.provenance import device_name
from training.reports import card
from training.reports.metrics import summarize
from training.reports.schema import Int8, Latency, Metrics, read_metrics
from training.reports.text import percent, points, to_json
from training.timing import interleave

CALIBRATION_IMAGES = 256
BATCH_SIZE = 16  # for measuring accuracy; larger batches are no faster
MAX_LOSS = 0.003  # the largest accepted drop in validation accuracy (0.3 points)
ROUNDS = 14  # number of timing rounds
REPEATS = {1: 20, 64: 1}  # {batch size: calls per timing round}
FLOAT, INT8 = "onnxruntime", "onnxruntime, 8 bits"
# The decision to keep the 8-bit file needs images on which the network was not trained.
NAMES = [name for name, row in EXPERIMENTS.items() if not row.validated_by]


def quantize(folder: Path, data: Cifar10) -> str:
    """Write and measure a model folder's float32 and 8-bit ONNX files. Return a summary.

    The folder is not changed until all measurements are done.
    """
    model, metrics = MobileNetV3Cifar.from_pretrained(folder), read_metrics(folder / METRICS_FILE)
    with tempfile.TemporaryDirectory() as temporary:
        outcome = export_and_measure(model, metrics, data, Path(temporary))
        files = {path.name: path.read_bytes() for path in Path(temporary).iterdir()}
    if INT8_FILE not in files:
        (folder / INT8_FILE).unlink(missing_ok=True)
    replace_files(folder, files | {METRICS_FILE: to_json(metrics)})
    card.write_card(folder)
    return outcome


def export_and_measure(
    model: MobileNetV3Cifar, metrics: Metrics, data: Cifar10, folder: Path
) -> str:
    """Write the ONNX files to `folder`, and their measurements to `metrics`. Return a summary."""
    exact, coarse = folder / ONNX_FILE, folder / INT8_FILE
    export_onnx(model, exact)
    export_onnx(model, coarse, int8_images=data.train.images[:CALIBRATION_IMAGES])
    latency = measure_latency(model, folder)
    single = {each["runtime"]: each["milliseconds"] for each in latency if each["batch"] == 1}
    ratio = single[FLOAT] / single[INT8]
    before, after = (
        summarize(onnx_logits(path, data.validation), data.validation.labels)["accuracy"]
        for path in (exact, coarse)
    )
    change = after - before
    outcome = f"{ratio:.2f} times as fast as float32, validation accuracy {points(change)} points"
    if ratio > 1 and change >= -MAX_LOSS:
        metrics["int8"] = Int8(
            **summarize(onnx_logits(coarse, data.test), data.test.labels),
            validation_change=change,
            bytes=coarse.stat().st_size,
            speedup=ratio,
            calibration_images=CALIBRATION_IMAGES,
            onnxruntime=version("onnxruntime"),
            device=latency[0]["device"],
        )
        outcome += f", {percent(metrics['int8']['accuracy'])} test accuracy: {INT8_FILE} is kept"
    else:
        coarse.unlink()
        metrics.pop("int8", None)
        latency = [each for each in latency if each["runtime"] != INT8]
        outcome += f": {INT8_FILE} is not kept"
    metrics["latency"] = latency
    return outcome


def onnx_logits(path: Path, split: Split) -> torch.Tensor:
    """Return an ONNX file's logits (N, C) for the N images of a split, as float32."""
    session = open_session(path.read_bytes(), threads=1)
    batches = np.array_split(split.images, max(1, len(split) // BATCH_SIZE))
    progress = tqdm(batches, desc=path.name, unit="batch", mininterval=1)
    logits = [run_onnx(session, each)["logits"] for each in progress]
    return torch.from_numpy(np.concatenate(logits))


@torch.inference_mode()
def measure_latency(model: MobileNetV3Cifar, folder: Path) -> list[Latency]:
    """Time the model in PyTorch and the folder's two ONNX files, each on one thread.

    PyTorch computes only logits, from preprocessed inputs. The ONNX files preprocess uint8 images,
    and also compute features and activation maps.
    """
    files = {FLOAT: folder / ONNX_FILE, INT8: folder / INT8_FILE}
    sessions = {name: open_session(path.read_bytes(), threads=1) for name, path in files.items()}
    size, threads = model.config.image_size, torch.get_num_threads()
    torch.set_num_threads(1)
    device, latencies = device_name(torch.device("cpu")), []
    for batch, repeats in REPEATS.items():
        images = np.zeros((batch, 32, 32, 3), np.uint8)
        runs = {"PyTorch": partial(model, torch.zeros(batch, 3, size, size))}
        runs |= {name: partial(run_onnx, each, images) for name, each in sessions.items()}
        # Processor time, unlike wall time, is hardly affected by other processes.
        times = interleave(list(runs.values()), ROUNDS, repeats, time.process_time)
        for name, seconds in zip(runs, times, strict=True):
            median = round(1000 * statistics.median(seconds), 3)
            latencies.append(Latency(runtime=name, device=device, batch=batch, milliseconds=median))
    torch.set_num_threads(threads)
    return latencies


@one_line_errors()
def main() -> None:
    parser = command_parser("training.quantize", __doc__)
    parser.add_argument("name", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="default: data")
    arguments = parser.parse_args()
    folder = get_variant(arguments.name).folder
    data = load(arguments.data_dir, EXPERIMENTS[arguments.name].recipe.split)
    print(f"{arguments.name}, 8 bits: {quantize(folder, data)}")


if __name__ == "__main__":
    main()
