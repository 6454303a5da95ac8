"""Serve, on a free port, a demo of three untrained networks with invented metrics."""

import json
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mobilenetv3_cifar import MobileNetV3Cifar, variants
from mobilenetv3_cifar.preprocessing import LABELS

CAT = Path(__file__).parent.parent / "demo" / "assets" / "cat.png"
# The accuracy of each network: NAMES for validation and test images, TRAINING for training images.
NAMES = {"small-best": 0.75, "small-second": 0.7, "small-underfit": 0.4}
TRAINING = {"small-best": 0.77, "small-second": 0.72, "small-underfit": 0.41}
HISTORY = """epoch,lr,train_loss,train_accuracy,valid_loss,valid_accuracy,seconds
1,0.1,1.5,0.4,1.4,0.5,9
2,0.1,1.0,0.6,0.9,0.7,9
"""


def make_metrics(name, accuracy, model):
    matrix = np.full((10, 10), 10)
    np.fill_diagonal(matrix, 910)
    matrix[3, 5] = 77  # cats classified as dogs
    scores = {"precision": 0.8, "recall": 0.7, "f1": 0.75, "support": 1000}
    measured = {"accuracy": accuracy, "loss": 1.0}
    return {
        "name": name,
        "kind": "control" if name == "small-second" else "report",
        "seed": 0,
        "epochs": 4,
        "parameters": sum(each.numel() for each in model.parameters()),
        "macs": 59_000_000,
        "train": {"accuracy": TRAINING[name], "loss": 0.9, "total": 35_000},
        "validation": measured,
        "test": measured
        | {
            "correct": 7_400,
            "total": 10_000,
            "precision_macro": 0.74,
            "recall_macro": 0.73,
            "top5_accuracy": 0.98,
            "ece": 0.012,
            "per_class": dict.fromkeys(LABELS, scores),
            "confusion_matrix": matrix.tolist(),
        },
        "report": {"accuracy": 0.7465, "precision": 0.745888, "recall": 0.7465},
        "training": {"seconds": 600, "device": "cpu"},
    }


def make_variant(folder, seed):
    torch.manual_seed(seed)
    model = MobileNetV3Cifar(size="small", blocks="cifar32", image_size=32)
    model.save_pretrained(folder)
    metrics = make_metrics(folder.name, NAMES[folder.name], model)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# The card\n\n![](curves.png)\n")
    last_loss = "1.75" if folder.name == "small-second" else "0.9"  # 1.75 for overfitting
    (folder / "history.csv").write_text(HISTORY.replace("0.9,0.7", f"{last_loss},0.7"))


@pytest.fixture
def cat():
    return Image.open(CAT).convert("RGB")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Replace the shipped variants with three untrained networks. Yield the new variants folder."""
    from demo import answers, charts

    root = tmp_path_factory.mktemp("model_cards")
    for seed, name in enumerate(NAMES):
        make_variant(root / name, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, "variants_folder", lambda: root)
        yield root
    for cached in (
        answers.load,
        answers.load_torch,
        answers.sample_answers,
        charts.read_metrics,
        charts.read_history,
    ):
        cached.cache_clear()


@pytest.fixture(scope="module")
def lookups():
    """Yield a list of the host names that have been looked up so far, by any thread."""
    names = []
    real = socket.getaddrinfo

    def record(host, *args, **kwargs):
        names.append(host)
        return real(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", record)
        yield names


@pytest.fixture(scope="module")
def page(shipped):
    from demo import build_demo

    return build_demo()


@pytest.fixture(scope="module")
def url(page, lookups):
    """Serve the demo, and yield its URL without a trailing slash."""
    from demo import launch_options

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = launch_options() | {"server_port": port, "quiet": True, "prevent_thread_lock": True}
    page.launch(**options)
    yield f"http://127.0.0.1:{port}"
    page.close(verbose=False)
