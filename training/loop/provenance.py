"""Describe the commit, the software versions and the hardware that produced a result."""

import platform
import re
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent.parent


def environment(device: torch.device) -> dict[str, str | int]:
    return {
        "commit": commit(),
        "device": device_name(device),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def commit() -> str:
    """Return the checked-out commit, or "unknown" if git fails or ROOT is not a checkout's root.

    "+changes" is appended if a loaded Python file of this project differs from the commit.
    """
    # A copy of this project without .git may be inside the checkout of another project.
    if Path(git("rev-parse", "--show-toplevel")) != ROOT.resolve():
        return "unknown"
    files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
    ours = [path for path in files if Path(path).is_relative_to(ROOT) and path.endswith(".py")]
    ours = [path for path in ours if "site-packages" not in path]
    changed = git("status", "--porcelain", "--", *ours)
    return (git("rev-parse", "HEAD") or "unknown") + ("+changes" if changed else "")


def git(*arguments: str) -> str:
    """Return the output of a git command in this checkout, or "" if it fails or takes too long."""
    command = ["git", "-C", str(ROOT), "--no-optional-locks", *arguments]
    try:
        return subprocess.check_output(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True, timeout=30
        ).strip()
    except (FileNotFoundError, subprocess.SubprocessError):
        return ""


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        driver = search(r"NVRM version:.*?(\d+\.[\d.]+)", "/proc/driver/nvidia/version")
        name, cudnn = torch.cuda.get_device_name(device), torch.backends.cudnn.version()
        return f"{name}, driver {driver}, CUDA {torch.version.cuda}, cuDNN {cudnn}"
    return f"{device.type}: {processor()}, {torch.get_num_threads()} threads"


def processor() -> str:
    return search(r"model name\s*: (.+)", "/proc/cpuinfo") or platform.machine()


def search(pattern: str, path: str) -> str:
    """Return group 1 of the first match in the file `path`, or "" if nothing matches."""
    try:
        match = re.search(pattern, Path(path).read_text(encoding="utf-8"))
    except OSError:
        return ""
    return match[1].strip() if match else ""
