"""Profile our networks in onnxruntime, to show what limits the speed of a prediction."""

import json
import statistics
import tempfile
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from benchmarks.inference import torchvision_network
from benchmarks.measure import Report
from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.export import export_onnx
from mobilenetv3_cifar.runtime import run_onnx
from training.reports.metrics import count_macs
from training.timing import interleave

RUNS = 30
PRODUCTS = {"Conv", "FusedConv", "FusedGemm", "Gemm", "MatMul"}  # operators that compute MACs
SIDE = 1024  # side of the square matrices that `matrix_product_speed` multiplies


def note_limits(report: Report, name: str, model: MobileNetV3Cifar) -> None:
    """Add a note: the share of time that convolutions and matrix products take, and their speed."""
    networks, size = (model, torchvision_network(model.config.size)), model.config.image_size
    macs, theirs = (count_macs(network, size) for network in networks)
    parts = []
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary, "model.onnx")
        export_onnx(model, file)
        for batch in (1, 64):
            seconds = operator_seconds(file, batch)
            products = sum(seconds[name] for name in PRODUCTS & seconds.keys())
            parts.append(
                f"with batch size {batch}, convolutions and matrix products take "
                f"{products / sum(seconds.values()):.0%} of the time and "
                f"compute {batch * macs / products / 1e9:.0f} billion MACs/s"
            )
    report.note(
        f"- What limits {name} in onnxruntime, on one thread: {'; '.join(parts)}. On this machine, "
        f"a product of two {SIDE}x{SIDE} matrices in float32 reaches "
        f"{matrix_product_speed() / 1e9:.0f} billion MACs/s. For an image of {size}x{size}, our "
        f"network computes {macs / 1e6:.1f} million MACs, and torchvision's network computes "
        f"{theirs / 1e6:.1f} million."
    )


def operator_seconds(file: Path, batch: int) -> dict[str, float]:
    """Return {operator: seconds that its nodes take in one run of an ONNX file on one thread}."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    options.profile_file_prefix = str(file.with_name("profile"))
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    for _ in range(RUNS):
        run_onnx(session, np.zeros((batch, 32, 32, 3), np.uint8))
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    durations: dict[tuple[str, str], list[int]] = defaultdict(list)  # microseconds, by node
    for event in events:
        if event["name"].endswith("_kernel_time"):
            durations[event["args"]["op_name"], event["name"]].append(event["dur"])
    seconds: dict[str, float] = defaultdict(float)
    for (operator, _), each in durations.items():
        seconds[operator] += statistics.median(each) / 1e6
    return seconds


def matrix_product_speed() -> float:
    """Return the multiply-accumulates per second of a float32 matrix product on one thread."""
    threads, matrix = torch.get_num_threads(), torch.ones(SIDE, SIDE)
    torch.set_num_threads(1)
    (seconds,) = interleave([partial(torch.matmul, matrix, matrix)], RUNS)
    torch.set_num_threads(threads)
    return SIDE**3 / statistics.median(seconds)
