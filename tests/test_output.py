"""These tests print predictions for images with odd file names or labels."""

import contextlib
import csv
import io
import json
import os

import pytest
from PIL import Image

from mobilenetv3_cifar.classifier import Prediction
from mobilenetv3_cifar.image_files import find_images
from mobilenetv3_cifar.output import FORMATS, make_encodable, print_csv

NAMES = [
    "=cmd|calc.png",
    "b\x1b[31mred.png",
    "two\nlines.png",
    "\u5199\u771f.png",
    "+1.png",
    "-1.png",
]


@pytest.fixture
def odd_names(tmp_path, sample):
    """Make a folder with oddly named images, and with files and folders that must be skipped."""
    folder = tmp_path / "odd"
    for name in [*NAMES, os.fsdecode(b"not-utf8-\xff.png"), ".hidden.png", "._a.png"]:
        folder.mkdir(exist_ok=True)
        Image.fromarray(sample[0][0]).save(folder / name, "PNG")
    for name in (".ipynb_checkpoints", "__MACOSX"):
        (folder / name).mkdir()
        Image.fromarray(sample[0][0]).save(folder / name / "x.png")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8", "ascii"])
@pytest.mark.parametrize("format", ["table", "csv", "jsonl"])
def test_odd_names_are_a_line_each_in_any_encoding(odd_names, encoding, format):
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    prediction = Prediction({"=1+1": 0.75}, 0.75, False)
    with contextlib.redirect_stdout(stream):
        make_encodable()
        names = [str(path) for path in find_images(odd_names, on_error=pytest.fail)]
        assert len(names) == len(NAMES) + 1  # + 1 for the non-UTF-8 name; other files are skipped
        FORMATS[format]((name, prediction) for name in names)
        stream.flush()
    lines = stream.buffer.getvalue().decode(encoding, "surrogateescape").splitlines()
    assert len(lines) == len(names) + (format == "csv")
    assert not any("\x1b" in line for line in lines)
    if format == "jsonl":
        for name, line in zip(names, lines, strict=True):
            path = json.loads(line.encode("utf-8"))["path"]
            assert path == name.replace("\udcff", "\\xff")
            path.encode("utf-8")  # fails for a lone surrogate


def test_a_spreadsheet_takes_no_name_or_label_for_a_formula(capsys):
    prediction = Prediction({"=1+1": 0.75}, 0.75, False)
    print_csv((name, prediction) for name in ["=a.png", "+a.png", "-a.png", "@a.png", "-", "a.png"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    expected = ["./=a.png", "./+a.png", "./-a.png", "./@a.png", "-", "a.png"]
    assert [row["path"] for row in rows] == expected
    assert {row["label"] for row in rows} == {"'=1+1"}
