"""Milliseconds of a shipped variant on this machine: load, first answer, one answer, one map.

    python -m benchmarks.latency small-dropout0.7-epochs5

Figures are medians over repeats, after imports; absolute times mean nothing without the hardware,
which is printed beside them.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from PIL import Image

from mobilenetv3_cifar import MobileNetV3Cifar, explain
from mobilenetv3_cifar.prediction import compute_logits
from mobilenetv3_cifar.variants import get_variant
from training.dataset.sample import tiny_dataset
from training.loop.provenance import device_name


def milliseconds(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - begun))
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency")
    parser.add_argument("variant", nargs="?", default=None)
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    name = get_variant(arguments.variant).name
    picture = tiny_dataset().train.images[0]

    def load_and_predict() -> None:
        MobileNetV3Cifar.from_pretrained(name).predict(picture)

    first = milliseconds(load_and_predict, 1)
    model = MobileNetV3Cifar.from_pretrained(name)
    explain(model, picture)  # its imports
    print(f"{name} on {device_name(torch.device('cpu'))}, torch {torch.__version__}")
    print(f"load and first prediction: {first:.0f} ms")
    print(
        f"one prediction: {milliseconds(lambda: model.predict(picture), arguments.repeats):.1f} ms"
    )
    print(
        f"one Grad-CAM: {milliseconds(lambda: explain(model, picture), arguments.repeats):.1f} ms"
    )
    batch = [Image.fromarray(image) for image in tiny_dataset().train.images[:64]]
    whole = milliseconds(lambda: compute_logits(model, batch), max(arguments.repeats // 10, 3))
    print(f"64 predictions in a batch: {whole:.0f} ms, {64_000 / whole:.0f} images/s")


if __name__ == "__main__":
    main()
