"""Choose and set up the device of a run, and add up values over the run's processes."""

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

# {environment variable: allowed values}. `accelerate launch` sets these variables. Any other value
# could silently change the recipe.
UNSUPPORTED = {
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": ("1",),
    "ACCELERATE_DYNAMO_BACKEND": ("no",),
    "ACCELERATE_USE_DEEPSPEED": ("false",),
    "ACCELERATE_USE_FSDP": ("false",),
    "ACCELERATE_USE_MEGATRON_LM": ("false",),
    "ACCELERATE_USE_PARALLELISM_CONFIG": ("false",),
}


def make_accelerator(
    device: str | None,
    precision: Precision = "float32",
    log_dir: Path | None = None,
    trains: bool = True,
) -> Accelerator:
    """Make an `Accelerator` for `device`, such as "cuda:1". None means the best device.

    If `trains` is false, the run has ended, and a CPU may lack support for its `precision`.
    """
    mixed = "bf16" if precision == "bfloat16" else "no"
    for name, allowed in {**UNSUPPORTED, "ACCELERATE_MIXED_PRECISION": ("no", mixed)}.items():
        value = os.environ.get(name, allowed[0]).lower()
        if value not in allowed:
            raise TrainingError(f"{name}={value} is not supported: it would change the recipe")
    if log_dir and not importlib.util.find_spec("tensorboard"):
        raise TrainingError("--log-dir needs TensorBoard: pip install tensorboard")
    kind, _, index = (device or "").partition(":")
    if index:
        if index not in map(str, range(torch.cuda.device_count())) or kind != "cuda":
            raise TrainingError(f"device {device} is not available")
        torch.cuda.set_device(int(index))
    accelerator = Accelerator(
        cpu=kind == "cpu",
        mixed_precision="no",  # the training loop applies bfloat16 itself
        log_with="tensorboard" if log_dir else None,
        project_dir=log_dir,
    )
    processes, actual = accelerator.num_processes, accelerator.device.type
    if index and processes > 1:
        raise TrainingError(f"{device} is one device, but {processes} processes are running")
    if kind not in ("", actual):
        raise TrainingError(f"device {device} is not available; the best available one is {actual}")
    if actual == "cpu" and platform.libc_ver()[0] == "glibc":
        # Keep freed memory, because returning tens of MB to the system at every layer costs time.
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD, bytes
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD, bytes
    if precision == "bfloat16" and (trains or actual != "cpu"):
        check_bfloat16(actual)
    if actual == "cuda":
        set_up_cuda(precision)
    return accelerator


def check_bfloat16(kind: str) -> None:
    """Refuse to train in bfloat16 on a device that emulates it, or on a GPU if Triton is missing.

    On CPUs, emulated bfloat16 is many times slower than float32.
    """
    advice = "train with --precision float32"
    if kind == "cpu":
        onednn = torch.backends.mkldnn.is_available()
        if not (onednn and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
            raise TrainingError(f"this CPU does not support bfloat16; {advice}")
    if kind == "cuda":
        if not torch.cuda.is_bf16_supported(including_emulation=False):
            raise TrainingError(f"this GPU does not support bfloat16; {advice}")
        if not importlib.util.find_spec("triton"):
            what = "training in bfloat16 on a GPU needs Triton"
            raise TrainingError(f"{what}: pip install triton, or {advice}")


def set_up_cuda(precision: Precision) -> None:
    """Turn off TF32, which rounds float32 values, and choose how cuDNN selects its kernels."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    # Use deterministic kernels in float32, where they cost little time, and fast ones in bfloat16.
    torch.backends.cudnn.deterministic = precision == "float32"
    torch.backends.cudnn.benchmark = precision == "bfloat16"


def sum_over_processes(accelerator: Accelerator, values: Tensor) -> list[float]:
    if accelerator.num_processes == 1:
        return values.tolist()
    return accelerator.reduce(values.to(accelerator.device), "sum").tolist()
