"""Which code, software and hardware a number came from."""

import platform
import re
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent.parent


def environment(device: torch.device) -> dict[str, str | int]:
    """What a figure must be read with: commit, device, PyTorch's version and its CPU threads."""
    return {
        "commit": commit(),
        "device": device_name(device),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def commit() -> str:
    """The checked-out commit, with "+changes" where a loaded file of ours differs from it."""
    files = [Path(path) for module in list(sys.modules.values()) if (path := file_of(module))]
    ours = [str(path) for path in files if path.is_relative_to(ROOT) and path.suffix == ".py"]
    ours = [path for path in ours if "site-packages" not in path]
    head = git("rev-parse", "HEAD")
    if not head:
        return "unknown"
    return head + ("+changes" if git("status", "--porcelain", "--", *ours) else "")


def file_of(module: object) -> str | None:
    return getattr(module, "__file__", None)


def git(*arguments: str) -> str:
    """What a git command prints in this checkout, or "" where there is no git or no checkout."""
    command = ["git", "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        cudnn = torch.backends.cudnn.version()
        name = torch.cuda.get_device_name(device)
        return f"{name}, driver {driver()}, CUDA {torch.version.cuda}, cuDNN {cudnn}"
    return f"{device.type}: {processor()}, {torch.get_num_threads()} threads"


def driver() -> str:
    """The version of NVIDIA's driver, or "unknown"."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8")
    except OSError:
        return "unknown"
    version = re.search(r"\d+(\.\d+)+", text)
    return version[0] if version else "unknown"


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
