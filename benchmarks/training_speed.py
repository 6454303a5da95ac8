"""Check the speed and correctness of training steps on a CPU or GPU before a long training run.

    python -m benchmarks.training_speed --device cuda

The benchmark first compares the gradients of every depthwise convolution in our networks with
gradients in float64, because some versions of cuDNN compute wrong gradients for some shapes. If a
gradient is wrong, the benchmark fails. Then it times whole training steps.
"""

import dataclasses
import itertools
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mobilenetv3_cifar.architecture import LAYOUTS
from mobilenetv3_cifar.command_line import command_parser, one_line_errors
from training.dataset.cifar10 import load_sample
from training.errors import TrainingError
from training.experiments import CPU32, GPU32, REPORT, Experiment
from training.loop.depthwise import use_fast_depthwise
from training.loop.devices import check_bfloat16, make_accelerator
from training.loop.learner import Learner
from training.loop.provenance import device_name

BATCHES: dict[str, dict[int, tuple[int, ...]]] = {  # {device: {pixels: batch sizes}}
    "cpu": {32: (64, 250), 224: (64,)},
    "cuda": {32: (250, 500), 224: (64, 256)},
}
STEPS = {"cpu": 5, "cuda": 50}
# The steps are timed as in a run of EPOCHS epochs, from epoch FIRST_EPOCH on. In these steps, CPU32
# and GPU32 use all their augmentations, and their crops are as large as the images.
EPOCHS, FIRST_EPOCH = 1000, 800
# The largest accepted `gradient_error` for each data type. It is larger for bfloat16, because
# bfloat16 has only 8 significant bits, and each gradient is a sum of many terms.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2}
# "outside the network" is the share of a step's time that augmentation, loss, optimizer and weight
# averaging take. These parts are timed without the network and without a CUDA graph. A graph makes
# the whole step faster, so if the whole step is timed with a graph, the share is too high. "GPU
# waits" is the share of a step's time in which the GPU is idle.
COLUMNS = ("size", "pixels", "batch", "compiled", "images/s", "outside the network", "GPU waits")


def make_learner(size: str, pixels: int, batch: int, device: str) -> Learner:
    """Make a `Learner` with our own recipe if `pixels` is 32, else with the report's recipe."""
    own = CPU32 if device == "cpu" else GPU32
    recipe = dataclasses.replace(own if pixels == 32 else REPORT, batch_size=batch)
    model = {"size": size, "blocks": "cifar32" if pixels == 32 else "report", "dropout": 0.7}
    accelerator = make_accelerator(device, recipe.precision)
    experiment = Experiment("speed", model, EPOCHS, recipe)
    learner = Learner(experiment, load_sample(), accelerator, 0, Path())
    learner.model.train()
    return learner


def seconds_per_step(learner: Learner, batch: int, steps: int) -> float:
    indices = torch.arange(batch, device=learner.device) % len(learner.images)
    first, started = FIRST_EPOCH * learner.steps_per_epoch, time.perf_counter()
    for step in range(first, first + steps):
        learner.step(step, indices)
    if learner.device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / steps


def measure(size: str, pixels: int, batch: int, compiled: bool, device: str) -> tuple[Any, ...]:
    """Time training steps with batches of `batch` images. Return a value for each of COLUMNS."""
    torch.compiler.reset()
    learner, steps = make_learner(size, pixels, batch, device), STEPS[device]
    if not compiled:
        learner.network, learner.fast_update = learner.model, learner.update
    elif learner.network is learner.model:  # training compiles only bfloat16 networks
        learner.network = torch.compile(learner.model)
    seconds_per_step(learner, batch, max(2, steps // 3))
    seconds, waits = seconds_per_step(learner, batch, steps), None
    if device == "cuda":
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            whole = 5 * seconds_per_step(learner, batch, 5)
        busy = sum(event.self_device_time_total for event in profile.key_averages()) / 1e6
        waits = f"{max(0.0, 1 - busy / whole):.1%}"
    logits = torch.zeros(batch, 10, device=learner.device, requires_grad=True)
    learner.network, learner.fast_update = (lambda inputs: logits), learner.update
    learner.optimizer.zero_grad = lambda: None  # the optimizer uses the last gradients again
    rest = seconds_per_step(learner, batch, steps)
    return size, pixels, batch, compiled, round(batch / seconds), f"{rest / seconds:.1%}", waits


def depthwise_shapes() -> list[tuple[int, int, int, int]]:
    """List the depthwise layers of all layouts as (channels, kernel size, stride, input height)."""
    shapes = set()
    for layout, pixels in itertools.product(LAYOUTS.values(), (32, 224)):
        height = pixels // layout.stem_stride
        for row in layout.rows:
            shapes.add((row.expanded, row.kernel, row.stride, height))
            height //= row.stride
    return sorted(shapes)


def gradient_error(shape: tuple[int, int, int, int], dtype: torch.dtype, device: str) -> float:
    """Return the largest relative error in the output and gradients of a depthwise convolution."""
    channels, kernel, stride, height = shape
    generator, count = torch.Generator().manual_seed(0), 16 if height <= 32 else 2  # saves time
    inputs = torch.randn(count, channels, height, height, generator=generator).to(dtype)
    weight = torch.randn(channels, 1, kernel, kernel, generator=generator).to(dtype)

    def results(device_type: str, kind: torch.dtype) -> list[Tensor]:
        x = inputs.to(device_type, kind, memory_format=torch.channels_last).requires_grad_()
        module = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, (1, 1), channels, False)
        module.to(device_type, kind).load_state_dict({"weight": weight})
        if kind == torch.bfloat16 or (kind, device) == (torch.float32, "cpu"):  # as in `Learner`
            use_fast_depthwise(module, torch.device(device_type))
        with torch.autocast(device_type, torch.bfloat16, enabled=kind == torch.bfloat16):
            y = module(x)
        return [y.detach(), *torch.autograd.grad(y.square().sum(), (x, module.weight))]

    pairs = zip(results(device, dtype), results("cpu", torch.float64), strict=True)
    errors = [(a.cpu().double() - b).abs().max() / b.abs().max() for a, b in pairs]
    return torch.stack(errors).max().item()  # NaN if any error is NaN


def check_gradients(device: str) -> str:
    """Return a line with the largest gradient error. Raise a TrainingError for wrong gradients."""
    if device == "cuda":
        check_bfloat16(device)
    errors = {
        (*shape, dtype): gradient_error(shape, dtype, device) / tolerance
        for dtype, tolerance in TOLERANCE.items()
        for shape in depthwise_shapes()
    }
    if wrong := [key for key, error in errors.items() if not error <= 1]:  # also if it is NaN
        raise TrainingError(f"wrong gradients of depthwise convolutions: {wrong}")
    return f"largest gradient error: {max(errors.values()):.2g} times the limit"


@one_line_errors()
def main() -> None:
    parser = command_parser("benchmarks.training_speed", __doc__)
    parser.add_argument("--device", choices=list(BATCHES), default="cpu")
    parser.add_argument(
        "--pixels", type=int, choices=(32, 224), help="time only this size: compiling takes minutes"
    )
    arguments = parser.parse_args()
    device = make_accelerator(arguments.device).device
    print(f"{device_name(device)}, PyTorch {torch.__version__}", check_gradients(device.type))
    print(*COLUMNS, sep=" | ")
    for pixels, batches in BATCHES[device.type].items():
        if arguments.pixels not in (None, pixels):
            continue
        for size, batch in itertools.product(("small", "large"), batches):
            for compiled in (False, True) if device.type == "cuda" else (False,):
                row = measure(size, pixels, batch, compiled, device.type)
                print(*row, sep=" | ", flush=True)


if __name__ == "__main__":
    main()
