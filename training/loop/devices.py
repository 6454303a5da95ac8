"""The device a run uses: chosen, set up, and shared by processes that must agree."""

import ctypes
import platform

import torch
from accelerate import Accelerator
from torch import Tensor

from training.errors import DeviceError


def make_accelerator(device: str | None) -> Accelerator:
    """The device asked for, or the best there is; bfloat16 where a GPU has it."""
    bf16 = device != "cpu" and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision="bf16" if bf16 else "no")
    if device not in (None, accelerator.device.type):
        raise DeviceError(f"no {device} device here; the best is {accelerator.device.type}")
    if accelerator.device.type == "cpu":
        keep_memory()
    return accelerator


def keep_memory() -> None:
    """Have glibc keep freed memory: returning tens of MB at every layer costs time on CPUs."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD, bytes
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD, bytes


def sum_over_processes(accelerator: Accelerator, values: Tensor) -> list[float]:
    """The sums of a vector's elements over all processes."""
    if accelerator.num_processes == 1:
        return values.tolist()
    return accelerator.reduce(values.to(accelerator.device), "sum").tolist()


def any_process(accelerator: Accelerator, mine: bool) -> bool:
    """Whether any process says so: all must save and stop at the same step."""
    return bool(sum_over_processes(accelerator, torch.tensor([float(mine)]))[0])
