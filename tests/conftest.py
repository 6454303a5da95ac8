"""What every test shares: no network, a seeded start, a few hundred real pictures."""

import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch

os.environ |= {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
}

LOOPBACK = ("127.", "localhost", "::1")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """A test that looks up any name but this machine's own fails."""
    real = socket.getaddrinfo

    def only_loopback(host, *args, **kwargs):
        if host is not None and not str(host).startswith(LOOPBACK):
            raise AssertionError(f"a test looked up {host!r}")
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", only_loopback)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def sample():
    """600 training pictures of CIFAR-10, 60 a class: uint8 (600, 32, 32, 3) and labels (600,)."""
    rows = np.load(Path(__file__).parent / "data" / "cifar10-sample.npy", allow_pickle=False)
    return rows[:, 1:].reshape(-1, 32, 32, 3), rows[:, 0]
