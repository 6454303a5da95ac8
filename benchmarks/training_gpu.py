"""Training speed and gradients on a GPU: run this before a long training.

    python -m benchmarks.training_gpu --out benchmarks/training_gpu.json

prints images/s of both sizes at 224 and 32 pixels, for several batch sizes, eager and compiled, the
fraction of the time that the GPU waits for the host, and the error of the gradients of every
depthwise convolution against float64 (some cuDNN versions are wrong for some shapes).
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.files import replace_files
from training.dataset.sample import load_sample
from training.experiments import EXPERIMENTS, REPORT, Experiment
from training.loop.devices import make_accelerator
from training.loop.learner import Learner
from training.loop.provenance import device_name

STEPS, WARM_UP = 30, 10
# Relative to the largest gradient. bfloat16 has 8 significant bits, and sums many terms.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2}


def depthwise_shapes(image_size: int, blocks: str) -> set[tuple[int, int, int, int]]:
    """(channels, kernel, stride, input height) of every depthwise convolution of both sizes."""
    shapes: set[tuple[int, int, int, int]] = set()
    for size in ("small", "large"):
        model = MobileNetV3Cifar(size=size, blocks=blocks).eval()  # type: ignore[arg-type]
        for module in model.modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                module.register_forward_hook(
                    lambda part, inputs, output: shapes.add(
                        (part.groups, part.kernel_size[0], part.stride[0], inputs[0].shape[2])
                    )
                )
        model(torch.zeros(1, 3, image_size, image_size))
    return shapes


def gradient_error(shape: tuple[int, int, int, int], dtype: torch.dtype, device: str) -> float:
    """Largest error of output, input and weight gradients, relative to the largest value."""
    channels, kernel, stride, height = shape
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(16, channels, height, height, generator=generator)
    weight = torch.randn(channels, 1, kernel, kernel, generator=generator)

    def run(kind: torch.dtype, place: str) -> list[torch.Tensor]:
        x = inputs.to(dtype).to(place, kind).contiguous(memory_format=torch.channels_last)
        w = weight.to(dtype).to(place, kind)
        x, w = x.detach().requires_grad_(), w.detach().requires_grad_()
        y = nn.functional.conv2d(x, w, stride=stride, padding=kernel // 2, groups=channels)
        y.square().sum().backward()
        assert x.grad is not None
        assert w.grad is not None
        return [each.detach().cpu().double() for each in (y, x.grad, w.grad)]

    errors = []
    for ours, exact in zip(run(dtype, device), run(torch.float64, "cpu"), strict=True):
        errors.append(float((ours - exact).abs().max() / exact.abs().max()))
    return max(errors)


def check_gradients(device: str) -> list[tuple[Any, str, float]]:
    shapes = depthwise_shapes(32, "cifar32")
    rows = []
    for dtype in (torch.float32, torch.bfloat16):
        for shape in sorted(shapes):
            error = gradient_error(shape, dtype, device)
            rows.append((shape, str(dtype), error))
            if error > TOLERANCE[dtype]:
                print(f"WRONG: depthwise {shape} in {dtype}: relative error {error:.2g}")
    worst = max(error for _, _, error in rows)
    print(f"{len(rows)} depthwise shapes checked, largest error {worst:.2g}", flush=True)
    return rows


def speed(size: str, pixels: int, batch: int, compiled: bool, device: str) -> dict[str, Any]:
    """Images/s of whole steps, augmentation and optimizer included."""
    own = pixels == 32
    recipe = EXPERIMENTS["large-cifar32"].recipe if own else REPORT
    recipe = dataclasses.replace(recipe, batch_size=batch)
    if device == "cpu":
        recipe = dataclasses.replace(recipe, precision="float32")
    model = {"size": size, "blocks": "cifar32" if own else "report"}
    experiment = Experiment("speed", model, 1, recipe)
    accelerator = make_accelerator(device, recipe.precision)
    sample = load_sample()
    learner = Learner(experiment, sample, accelerator, seed=0, runs=Path())
    learner.network = torch.compile(learner.model) if compiled else learner.model
    learner.model.train()
    indices = torch.arange(batch, device=learner.device) % len(sample)

    def run(steps: int) -> float:
        begun = time.perf_counter()
        for step in range(steps):
            learner.step(step, indices)
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begun

    warm_up = run(WARM_UP)
    seconds = run(STEPS)
    row = {
        "size": size,
        "pixels": pixels,
        "batch": batch,
        "compiled": compiled,
        "images_per_second": STEPS * batch / seconds,
        "waiting": idle_fraction(run) if device == "cuda" else None,
        "warm_up_seconds": warm_up,
    }
    print(json.dumps(row), flush=True)
    return row


def idle_fraction(run: Callable[[int], float]) -> float:
    """The fraction of the time in which no kernel runs."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        seconds = run(5)
    busy = sum(event.self_device_time_total for event in profile.key_averages()) / 1e6
    return max(0.0, 1 - busy / seconds)


def main() -> None:
    global STEPS, WARM_UP
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_gpu")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/training_gpu.json"))
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--quick", action="store_true", help="one step of each, to rehearse")
    arguments = parser.parse_args()
    if arguments.quick:
        STEPS, WARM_UP = 1, 1
    batches = {32: (250, 500, 1000), 224: (64, 256)}
    if arguments.quick:
        batches = {32: (50,), 224: (4,)}
    device = make_accelerator(arguments.device).device
    result = {
        "device": device_name(device),
        "torch": torch.__version__,
        "gradients": check_gradients(device.type),
        "speed": [
            speed(size, pixels, batch, compiled, device.type)
            for pixels, sizes in batches.items()
            for size in ("small", "large")
            for batch in sizes
            for compiled in (False, True)
        ],
    }
    replace_files(arguments.out.parent, {arguments.out.name: json.dumps(result, indent=1).encode()})


if __name__ == "__main__":
    main()
