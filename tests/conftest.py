"""This module has fixtures and settings for all tests, such as a ban on network access."""

import os
import socket
from pathlib import Path

# Set this before importing torch. With more threads than free processors, as in a container with a
# CPU limit, the threads wait for each other, and training is several times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from PIL import Image

from tests.networks import untrained
from training.dataset.cifar10 import load_sample

# Subprocesses of the tests import the repository's packages from the working directory.
os.chdir(Path(__file__).parent.parent)

os.environ |= {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
}

# These modules train, or start a browser, a server or other processes. `pytest -m "not slow"` skips
# them.
SLOW = {
    "test_api_docs",
    "test_cli",
    "test_cuda",
    "test_cuda_graph",
    "test_demo_api",
    "test_demo_browser",
    "test_demo_decoder",
    "test_demo_endings",
    "test_demo_space",
    "test_demo_strangers",
    "test_demo_uploads",
    "test_export",
    "test_frameworks",
    "test_hub",
    "test_hub_faults",
    "test_int8",
    "test_learner",
    "test_package",
    "test_packaging",
    "test_publish",
    "test_push",
    "test_push_cards",
    "test_quantize",
    "test_resuming",
    "test_runtime",
    "test_saving",
    "test_shipped_weights",
    "test_static_build",
    "test_static_page",
    "test_train",
    "test_training_speed",
    "test_trials",
    "test_twins",
    "test_two_processes",
}
LOOPBACK = ("127.", "localhost", "::1")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.stem in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Fail a test that looks up the address of any host other than this machine."""
    real = socket.getaddrinfo

    def only_loopback(host, *args, **kwargs):
        if host is not None and not str(host).startswith(LOOPBACK):
            raise AssertionError(f"a test looked up {host!r}")
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", only_loopback)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


# The settings of two networks with different blocks and out-of-distribution scores. One network
# enlarges its input images.
EXPORTED = {
    "native": {
        "blocks": "cifar32",
        "ood_score": "linear",
        "ood_weights": np.random.default_rng(0).normal(size=576).round(3),
        "ood_threshold": 2.0,
    },
    "enlarged": {"blocks": "report", "image_size": 48, "temperature": 1.5, "ood_score": "energy"},
}


@pytest.fixture(scope="session", params=EXPORTED)
def exported(request, sample, tmp_path_factory):
    """For each network of EXPORTED, return a model folder that also contains `model.onnx`."""
    from mobilenetv3_cifar.export import export_onnx

    network = untrained(sample[0][:64], **EXPORTED[request.param])
    folder = tmp_path_factory.mktemp("exported") / "network"
    network.save_pretrained(folder)
    export_onnx(network, folder / "model.onnx")
    return folder


@pytest.fixture(scope="session")
def sample():
    """Return 600 training images of CIFAR-10, uint8 (600, 32, 32, 3), and their labels (600,)."""
    return load_sample()


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    """Finish the tiny run of `tests.tiny` without an interruption, and return its folder."""
    from tests.tiny import tiny_run  # imported here because it loads accelerate, which is slow

    folder = tmp_path_factory.mktemp("uninterrupted")
    tiny_run(folder).train()
    return folder


@pytest.fixture(scope="session")
def photograph():
    """Return an image of 150 x 96 pixels with blurred random colours."""
    noise = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    return Image.fromarray(noise).resize((150, 96), Image.Resampling.BICUBIC)
