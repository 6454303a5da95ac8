"""These fixtures run the command line inside the test process."""

import io
import sys
from typing import NamedTuple

import pytest
import torch
from PIL import Image

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.__main__ import main


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model") / "fresh"
    MobileNetV3Cifar().save_pretrained(folder)
    return folder


@pytest.fixture
def images(tmp_path, sample):
    """Make a folder with an image, a text file, and a subfolder that contains another image."""
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    Image.fromarray(sample[0][0]).save(folder / "a.png")
    Image.fromarray(sample[0][1]).resize((300, 200)).save(folder / "more" / "b.jpg")
    (folder / "two\nnotes\x1b[31m.txt").write_text("not an image")
    return folder


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def cli(monkeypatch, capsysbinary):
    """Return a function that runs the command line in this process, so torch loads only once."""

    def call(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["mobilenetv3-cifar", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsysbinary.readouterr()
        return Done(ended.value.code or 0, out.decode("utf-8", "surrogateescape"), err.decode())

    return call
