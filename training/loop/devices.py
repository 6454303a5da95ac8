"""The device a run uses: chosen, set up, and shared by processes that must agree."""

import ctypes
import importlib.util
import os
import platform
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from training.errors import TrainingError
from training.recipe import Precision

# Launch options that can silently change a recipe: variable -> values that change nothing.
UNSUPPORTED = {
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": ("1",),
    "ACCELERATE_DYNAMO_BACKEND": ("no",),
    "ACCELERATE_USE_DEEPSPEED": ("false",),
    "ACCELERATE_USE_FSDP": ("false",),
    "ACCELERATE_USE_MEGATRON_LM": ("false",),
    "ACCELERATE_USE_PARALLELISM_CONFIG": ("false",),
}


def make_accelerator(
    device: str | None, precision: Precision = "float32", log_dir: Path | None = None
) -> Accelerator:
    """An accelerator on the device ("cuda:1" is the second GPU), by default on the best one."""
    mixed = "bf16" if precision == "bfloat16" else "no"
    for name, allowed in {**UNSUPPORTED, "ACCELERATE_MIXED_PRECISION": ("no", mixed)}.items():
        value = os.environ.get(name, allowed[0]).lower()
        if value not in allowed:
            raise TrainingError(f"{name}={value} is not supported: it would change the recipe")
    if log_dir and not importlib.util.find_spec("tensorboard"):
        raise TrainingError("--log-dir needs TensorBoard: pip install 'mobilenetv3-cifar[logging]'")
    kind, _, index = (device or "").partition(":")
    if index:
        if index not in map(str, range(torch.cuda.device_count())) or kind != "cuda":
            raise TrainingError(f"device {device} is not available")
        torch.cuda.set_device(int(index))
    accelerator = Accelerator(
        cpu=kind == "cpu",
        mixed_precision="no",  # the loop itself applies bfloat16
        log_with="tensorboard" if log_dir else None,
        project_dir=str(log_dir) if log_dir else None,
    )
    if index and accelerator.num_processes > 1:
        raise TrainingError(
            f"{device} is one device, but {accelerator.num_processes} processes run"
        )
    if kind not in ("", accelerator.device.type):
        best = accelerator.device.type
        raise TrainingError(f"device {device} is not available; the best here is {best}")
    if accelerator.device.type == "cpu" and platform.libc_ver()[0] == "glibc":
        # Keep freed memory: returning tens of MB to the system at every layer costs time.
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD, bytes
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD, bytes
    if accelerator.device.type == "cuda":
        set_up_cuda(precision)
    return accelerator


def set_up_cuda(precision: Precision) -> None:
    """Make float32 exact, without TF32; check that the GPU supports bfloat16."""
    if precision == "bfloat16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise TrainingError("this GPU has no bfloat16; train with --precision float32")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    # Deterministic kernels cost little in float32; bfloat16 recipes take the fastest instead.
    torch.backends.cudnn.deterministic = precision == "float32"
    torch.backends.cudnn.benchmark = precision == "bfloat16"


def sum_over_processes(accelerator: Accelerator, values: Tensor) -> list[float]:
    """The sums of a vector's elements over all processes."""
    if accelerator.num_processes == 1:
        return values.tolist()
    return accelerator.reduce(values.to(accelerator.device), "sum").tolist()
