"""These tests interrupt saves, fake a full disk and save concurrently. They need strace."""

import dataclasses
import os
import resource
import signal
import subprocess
from itertools import count
from pathlib import Path

import pytest
import torch

from mobilenetv3_cifar import ModelFolderError
from mobilenetv3_cifar.folder import read_folder, write_folder
from tests.fuzz_weights import CONFIG, TENSORS

NEW = {"new.weight": torch.arange(40.0) / 8}
NEW_CONFIG = dataclasses.replace(CONFIG, temperature=2.0)


@pytest.fixture
def folder(tmp_path):
    """Create a folder that contains the old model: CONFIG and TENSORS."""
    write_folder(tmp_path / "model", CONFIG, TENSORS)
    return tmp_path / "model"


def equal(tensors: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> bool:
    return tensors.keys() == others.keys() and all(
        torch.equal(tensor, others[name]) for name, tensor in tensors.items()
    )


def start_save(folder: Path) -> tuple[int, int]:
    """Fork a child that saves NEW when a byte is written to a pipe. Return (process ID, pipe).

    The child exits with status 0, or with 3 after a ModelFolderError. NEW is so small that
    saving it does not use torch's threads, which do not survive a fork.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(read_end, 1)
        try:
            write_folder(folder, NEW_CONFIG, NEW)
        except ModelFolderError:
            os._exit(3)
        os._exit(0)
    os.close(read_end)
    return pid, write_end


def save_with(injection: str, folder: Path) -> int:
    """Save NEW while strace injects an error or a signal. Return the saving process's exit code."""
    pid, write_end = start_save(folder)
    command = ["strace", "-p", str(pid), "-o", os.devnull, "-e", f"inject={injection}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert "attached" in tracer.stderr.readline()
        os.write(write_end, b"x")
        _, status = os.waitpid(pid, 0)
    os.close(write_end)
    return os.waitstatus_to_exitcode(status)


SYSTEM_CALLS = [
    "?mkdir,?mkdirat",
    "?open,openat",
    "write",
    "fsync",
    "?rename,?renameat,?renameat2",
    "close",
    "?unlink,?unlinkat",
]


@pytest.mark.parametrize("calls", SYSTEM_CALLS)
@pytest.mark.parametrize("existing", [True, False])
def test_a_save_killed_at_any_system_call_leaves_no_mixture(tmp_path, calls, existing):
    seen = []
    for number in count(1):
        folder = tmp_path / str(number) / "model"
        if existing:
            write_folder(folder, CONFIG, TENSORS)
        status = save_with(f"{calls}:signal=SIGKILL:when={number}", folder)
        seen.append(state(folder))
        write_folder(folder, NEW_CONFIG, NEW)
        assert equal(read_folder(folder).tensors, NEW)  # the next save repairs the folder
        if status == 0:
            break
        assert status == -9
    assert seen[-1] == "new"
    assert set(seen) <= ({"old", "new", "refused"} if existing else {"absent", "new"})
    assert len(seen) > 1 or (existing and "mkdir" in calls)


@pytest.mark.parametrize("calls", SYSTEM_CALLS[:4])
@pytest.mark.parametrize("existing", [True, False])
def test_a_save_that_meets_an_error_at_any_point_changes_nothing(tmp_path, calls, existing):
    statuses = []
    for number in range(1, 8):
        folder = tmp_path / str(number) / "model"
        folder.parent.mkdir()
        if existing:
            write_folder(folder, CONFIG, TENSORS)
        statuses.append(save_with(f"{calls}:error=ENOSPC:when={number}", folder))
        assert len(list(folder.parent.iterdir())) == folder.exists()  # no partial folder
        assert sorted(path.name for path in folder.glob("*")) in (
            [],
            ["config.json", "model.safetensors"],
        )
        failed = "old" if existing else "absent"
        assert state(folder) in ({"new"} if statuses[-1] == 0 else {failed, "new"})
    assert set(statuses) == ({0} if existing and "mkdir" in calls else {0, 3})


def state(folder: Path) -> str:
    """Describe `folder`: "absent", "old", "new", "refused", "a mixture" or an error message."""
    if not folder.exists():
        return "absent"
    try:
        _, config, tensors, _ = read_folder(folder)
    except ModelFolderError as error:
        return "refused" if "SHA-256 is not the one in config.json" in str(error) else f"{error}"
    if (config, equal(tensors, NEW)) == (NEW_CONFIG, True):
        return "new"
    return "old" if (config, equal(tensors, TENSORS)) == (CONFIG, True) else "a mixture"


@pytest.mark.parametrize("percent", range(5, 105, 10))
@pytest.mark.parametrize("existing", [True, False])
def test_a_disk_that_fills_up_changes_nothing(tmp_path, percent, existing):
    folder = tmp_path / "model"
    if existing:
        write_folder(folder, CONFIG, TENSORS)
    write_folder(tmp_path / "measure", NEW_CONFIG, NEW)
    largest = max(path.stat().st_size for path in (tmp_path / "measure").iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest * percent // 100, hard))
    try:
        with pytest.raises(ModelFolderError, match="cannot be written: File too large"):
            write_folder(folder, NEW_CONFIG, NEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert state(folder) == ("old" if existing else "absent")
    assert len(list(tmp_path.rglob("*"))) == (6 if existing else 3)  # no partial files are left


def test_readers_never_see_a_mixture_during_a_save(folder):
    seen = set()
    for _ in range(20):
        pid, write_end = start_save(folder)
        os.write(write_end, b"x")
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            seen.add(state(folder))
        os.close(write_end)
        seen.add(state(folder))
        write_folder(folder, CONFIG, TENSORS)
    assert seen <= {"old", "new", "refused"}
    assert "new" in seen


def test_concurrent_saves_leave_a_model_that_loads_or_that_the_next_save_repairs(folder):
    for _ in range(10):
        savers = [start_save(folder) for _ in range(4)]
        for _, write_end in savers:
            os.write(write_end, b"x")
        write_folder(folder, CONFIG, TENSORS)
        for pid, write_end in savers:
            assert os.waitpid(pid, 0)[1] == 0
            os.close(write_end)
        assert state(folder) in {"old", "new", "refused"}
        assert len(list(folder.iterdir())) == 2
    write_folder(folder, CONFIG, TENSORS)
    assert state(folder) == "old"
