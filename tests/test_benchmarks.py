"""These tests check the arithmetic and report of the benchmarks, which are run by hand."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from benchmarks import processes
from benchmarks.measure import Report
from benchmarks.photographs import read
from benchmarks.processes import installed_bytes, peak_memory, write_images
from mobilenetv3_cifar.classifier import Prediction
from training.dataset.cifar10 import load_sample
from training.timing import interleave


def test_the_ratio_is_the_median_of_the_rounds_ratios():
    report = Report()
    report.add("a", "b", [0.001, 0.002, 0.004], [0.004, 0.004, 0.004])
    assert report.rows == [["a", "b", "2.00 ms (1.00 to 4.00)", "4.00 ms", "2.00", ""]]


def test_sides_take_turns_and_the_first_call_is_not_counted():
    calls = []
    sides = [lambda: calls.append("ours"), lambda: calls.append("theirs")]
    seconds = interleave(sides, rounds=2, repeats=2)
    assert calls == ["ours", "theirs"] + 2 * (2 * ["ours"] + 2 * ["theirs"])
    assert [len(times) for times in seconds] == [2, 2]


def test_the_report_names_goal_machine_and_versions(tmp_path):
    report = Report()
    report.add("small: size", "theirs", [1.0], [150.0], unit="MB", goal=4)
    report.note("- a note")
    report.write(tmp_path / "RESULTS.md")
    text = (tmp_path / "RESULTS.md").read_text()
    assert "| small: size | theirs | 1.00 MB | 150 MB | 150.00 | ≥ 4 |" in text
    assert "Machine: " in text
    assert f"Python {sys.version.split()[0]}" in text
    assert text.endswith("\n- a note\n")


def test_installed_size_counts_what_a_package_requires():
    alone, needing = installed_bytes(("pillow",)), installed_bytes(("matplotlib",))
    assert alone.keys() == {"pillow"}
    assert {"matplotlib", "numpy", "pillow"} < needing.keys()
    assert 1e6 < alone["pillow"] == needing["pillow"]
    assert installed_bytes(("no-such-package",)) == {}


def test_the_smallest_installation_follows_the_document(monkeypatch):
    def install(command):
        commands.append(command[3:-4])  # without `python -m pip` and the benchmark's options
        Path(command[-1], str(len(commands))).write_bytes(b"12345")

    commands = []
    monkeypatch.setattr(processes, "run", install)
    assert processes.smallest_installation() == 10
    assert commands == [
        ["install", "--no-compile", "numpy", "pillow", "tqdm"],
        ["install", "--no-compile", "--no-deps", "onnxruntime<1.25"],
    ]


def test_the_folder_of_images_can_be_read(tmp_path):
    folder = write_images(tmp_path / "images", 3)
    shapes = {np.asarray(Image.open(path)).shape for path in folder.iterdir()}
    assert shapes == {(96, 96, 3)}


def test_peak_memory_is_that_of_the_command():
    held = [peak_memory([sys.executable, "-c", f"bytearray({size}) "]) for size in (1, 10**8)]
    assert held[1] - held[0] == pytest.approx(10**8, rel=0.2)


def test_photographs_are_told_apart_by_label(tmp_path):
    for label, index in (("cat", 0), ("dog", 1), ("none", 2)):
        (tmp_path / label).mkdir()
        Image.fromarray(load_sample().images[index]).save(tmp_path / label / "a.png")
    files = [(path, path.parent.name) for path in sorted(tmp_path.glob("*/*"))]
    photographs = read(files)
    assert (photographs.labels, len(photographs.none)) == (["cat", "dog"], 1)
    answers = [Prediction({"cat": 1.0}, 0.9, False), Prediction({"cat": 1.0}, 0.4, True)]
    none = [Prediction({"ship": 1.0}, 0.5, False)]
    model = SimpleNamespace(predict=lambda images: answers if len(images) == 2 else none)
    assert photographs.measure(model) == {
        "accuracy": 0.5,
        "mean over classes": 0.5,
        "wrongly flagged as none": 0.5,
        "correctly flagged as none": 0.0,
        "AUROC": 0.5,
    }
