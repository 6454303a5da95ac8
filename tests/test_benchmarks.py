"""The benchmarks' arithmetic and report; the measurements themselves are run by hand."""

import sys

import numpy as np
import pytest
from PIL import Image

from benchmarks.measure import Comparison, Report
from benchmarks.photographs import Photographs
from benchmarks.processes import installed_bytes, peak_memory, write_images
from mobilenetv3_cifar import MobileNetV3Cifar
from training.dataset.sample import load_sample
from training.timing import interleave


def test_the_ratio_is_the_median_of_the_rounds_ratios():
    comparison = Comparison("a", "b", ours=[0.001, 0.002, 0.004], theirs=[0.004, 0.004, 0.004])
    assert comparison.ratio == 2
    assert comparison.row() == [
        "a",
        "b",
        "2.00 ms (1.00 to 4.00)",
        "4.00 ms",
        "2.00",
        "",
    ]


def test_sides_take_turns_and_the_first_call_is_not_counted():
    calls = []
    sides = [lambda: calls.append("ours"), lambda: calls.append("theirs")]
    seconds = interleave(sides, rounds=2, repeats=2)
    assert calls == ["ours", "theirs"] + 2 * (2 * ["ours"] + 2 * ["theirs"])
    assert [len(times) for times in seconds] == [2, 2]


def test_the_report_names_goal_machine_and_versions(tmp_path):
    report = Report()
    report.add(Comparison("small: size", "theirs", [1.0], [150.0], unit="MB", goal=4))
    report.note("- a note")
    report.write(tmp_path / "RESULTS.md", "command")
    text = (tmp_path / "RESULTS.md").read_text()
    assert "| small: size | theirs | 1.00 MB | 150 MB | 150.00 | ≥ 4 |" in text
    assert "Machine: " in text
    assert f"Python {sys.version.split()[0]}" in text
    assert text.endswith("\n- a note\n")


def test_installed_size_counts_what_a_package_requires():
    alone, needing = installed_bytes(("pillow",)), installed_bytes(("pillow", "matplotlib"))
    assert 1e6 < alone < needing
    assert installed_bytes(("no-such-package",)) == 0


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
    photographs = Photographs(files)
    assert photographs.accuracies(np.array(["cat", "cat"])) == {
        "accuracy": 0.5,
        "mean over classes": 0.5,
    }
    assert photographs.auroc(np.array([0.9, 0.4]), np.array([0.5])) == 0.5
    model = MobileNetV3Cifar.from_pretrained("small-cifar32")
    measured, choices = photographs.measure(model), photographs.choices(model)
    assert measured["accuracy"] == choices["crops: whole"]["accuracy"]
