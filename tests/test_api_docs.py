"""These tests run the snippets of docs/api.md in order, and the script examples/finetune.py."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mobilenetv3_cifar import MobileNetV3Cifar, list_variants
from tests.hub_fixtures import point_client_at, serve, tree
from tests.loopback_hub import TOKEN

ROOT = Path(__file__).parent.parent
SNIPPET = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture
def loopback(monkeypatch, tmp_path):
    with serve() as hub:
        point_client_at(hub, monkeypatch, tmp_path)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


def test_every_snippet_of_the_api_page_runs(loopback, tmp_path, monkeypatch, sample, capsys):
    images, labels = sample
    Image.fromarray(images[labels == 3][0]).save(tmp_path / "cat.png")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    snippets = SNIPPET.findall(page)
    assert len(snippets) == page.count("```") / 2 == 9
    names = {}
    for snippet in snippets:
        exec(snippet, names)
    assert names["map"].heatmap.shape == (32, 32)
    size = names["imagenet"].config.image_size
    inputs = torch.randn(1, 3, size, size)
    features = [names[name].features(inputs) for name in ("imagenet", "theirs")]
    torch.testing.assert_close(*features, rtol=1e-4, atol=1e-5)
    assert "model.safetensors" in tree(loopback, "owner/cats")
    assert (tmp_path / "model.onnx").is_file()
    assert "'resnet'" in capsys.readouterr().out


def test_the_fine_tuning_example_learns_and_saves(tmp_path, sample):
    """A shipped network for ten classes is fine-tuned to tell vehicles from animals."""
    images, labels = sample
    vehicles = np.isin(labels, [0, 1, 8, 9])
    for name, chosen in (("vehicle", vehicles), ("animal", ~vehicles)):
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        for index in np.flatnonzero(chosen)[:50]:
            Image.fromarray(images[index]).save(folder / f"{index}.png")
        (folder / ".DS_Store").touch()
        (folder / "notes.txt").write_text("not an image")
    (tmp_path / "images" / ".ipynb_checkpoints").mkdir()
    fastest = min(list_variants(), key=lambda variant: variant.macs).name
    arguments = ["--output", "tuned", "--variant", fastest, "--epochs", "4"]
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "finetune.py", "images", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert "for animal, vehicle: 80 training images" in done.stdout
    accuracy = re.search(r"held-out images: ([\d.]+)%", done.stdout)
    assert float(accuracy[1]) >= 80
    tuned = MobileNetV3Cifar.from_pretrained(tmp_path / "tuned")
    assert tuned.config.labels == ("animal", "vehicle")


@pytest.mark.parametrize(
    ("images", "output", "message"),
    [
        ("missing", "tuned", "missing is not a folder with one subfolder per class"),
        ("images/empty", "tuned", "empty is not a folder with one subfolder per class"),
        ("images", "tuned", "images has fewer than two images that can be read"),
        ("images", "file", "file cannot be written: it is not a folder"),
        ("images", "tuned --epochs 0", "--epochs must be at least 1, not 0"),
        ("animals", "tuned --variant nope", "error: unknown variant 'nope'; shipped: "),
    ],
)
def test_the_fine_tuning_example_refuses_bad_arguments_before_training(
    tmp_path, monkeypatch, capsys, images, output, message
):
    (tmp_path / "images" / "empty").mkdir(parents=True)
    (tmp_path / "animals" / "cat").mkdir(parents=True)
    (tmp_path / "file").touch()
    output, *options = output.split()
    argv = ["finetune.py", str(tmp_path / images), "--output", str(tmp_path / output), *options]
    monkeypatch.setattr("sys.argv", argv)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "examples" / "finetune.py"), run_name="__main__")
    assert ended.value.code
    assert message in f"{ended.value.code}{capsys.readouterr().err}"
