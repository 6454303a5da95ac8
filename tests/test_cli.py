"""The command line, as a shell runs it: output formats, exit codes, one clear line on bad input."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from mobilenetv3_cifar import MobileNetV3Cifar

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model") / "fresh"
    MobileNetV3Cifar().save_pretrained(folder)
    return folder


@pytest.fixture
def pictures(tmp_path, sample):
    """A folder with two pictures, one of them in a folder of its own, and a file that is none."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    Image.fromarray(sample[0][0]).save(folder / "a.png")
    Image.fromarray(sample[0][1]).resize((300, 200)).save(folder / "more" / "b.jpg")
    (folder / "notes.txt").write_text("no picture")
    return folder


def run(*arguments):
    command = [sys.executable, "-m", "mobilenetv3_cifar", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_csv_has_a_row_for_each_rank_of_each_picture(pictures, model_folder):
    done = run("predict", pictures, "--variant", model_folder, "--format", "csv", "--top-k", 2)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(Path(row["path"]).name, row["rank"]) for row in rows] == [
        *(("a.png", "1"), ("a.png", "2"), ("b.jpg", "1"), ("b.jpg", "2"))
    ]
    first = MobileNetV3Cifar.from_pretrained(model_folder).predict(pictures / "a.png", top_k=1)
    assert {rows[0]["label"]: pytest.approx(float(rows[0]["probability"]), abs=1e-5)} == first


def test_a_file_that_is_no_picture_gets_a_line_and_exit_1_and_the_rest_is_done(
    pictures, model_folder
):
    done = run("predict", pictures, "--variant", model_folder, "--format", "jsonl")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error:")
    assert "notes.txt" in line
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(answer["path"]).name for answer in answers] == ["a.png", "b.jpg"]
    assert [len(answer["predictions"]) for answer in answers] == [3, 3]
    assert set(answers[0]["predictions"][0]) == {"label", "probability"}


def test_readable_pictures_alone_exit_0_with_a_line_each(pictures, model_folder):
    done = run("predict", pictures / "a.png", pictures / "more", "--variant", model_folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 2
    assert "a.png: " in done.stdout


def test_explain_writes_the_picture_under_its_map(pictures, model_folder, tmp_path):
    output = tmp_path / "overlay.png"
    arguments = ["--variant", model_folder, "--target", "ship", "--output", output]
    done = run("explain", pictures / "more" / "b.jpg", *arguments)
    assert done.returncode == 0, done.stderr
    assert "ship" in done.stdout
    with Image.open(output) as picture:
        assert picture.size == (300, 200)
    assert [path.name for path in tmp_path.glob("*overlay*")] == ["overlay.png"]


def test_a_label_that_looks_like_an_index_is_a_label(pictures, tmp_path):
    MobileNetV3Cifar(num_classes=3, labels=["1", "2", "0"]).save_pretrained(tmp_path / "digits")
    for target, label in (("1", "1"), ("0", "0")):
        arguments = ["--variant", tmp_path / "digits", "--target", target]
        done = run("explain", pictures / "a.png", *arguments, "--output", tmp_path / "map.png")
        assert f"map.png: {label} " in done.stdout, done.stderr


def test_a_folder_without_files_fails_and_the_rest_is_done(pictures, model_folder, tmp_path):
    (tmp_path / "empty").mkdir()
    done = run("predict", tmp_path / "empty", pictures / "a.png", "--variant", model_folder)
    assert done.returncode == 1
    assert "empty: the folder holds no files" in done.stderr
    assert "a.png: " in done.stdout


def test_a_name_that_is_not_utf8_is_classified_too(pictures, model_folder):
    odd = pictures / os.fsdecode(b"\xff.png")
    (pictures / "a.png").rename(odd)
    command = [sys.executable, "-m", "mobilenetv3_cifar", "predict", odd]
    strict = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    command += ["--variant", model_folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, env=strict)
    assert done.returncode == 0, done.stderr
    assert b"\xff.png: " in done.stdout


def test_a_reader_that_stops_early_hears_no_complaint(model_folder):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "mobilenetv3_cifar", "variants"]
    done = subprocess.run(command, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_export_writes_a_network_that_onnx_can_check(model_folder, tmp_path):
    import onnx

    output = tmp_path / "model.onnx"
    done = run("export", "--variant", model_folder, "--output", output)
    assert done.returncode == 0, done.stderr
    onnx.checker.check_model(onnx.load(output))


def test_variants_lists_every_shipped_one_best_first():
    done = run("variants")
    assert done.returncode == 0
    shipped = {path.parent.name for path in (ROOT / "model_cards").glob("*/metrics.json")}
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert {row[0] for row in rows} == shipped
    accuracies = [float(row[1]) for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["predict", "a.png", "--variant", "tiny"], ["'tiny'"]),
        (["predict", "a.png", "--top-k", "0"], ["--top-k", "0"]),
        (["explain", "nowhere.png"], ["nowhere.png", "does not exist"]),
        (["explain", "a.png", "--output", "overlay.xyz"], [".xyz"]),
        (["explain", "a.png", "--output", "overlay.psd"], [".psd"]),
        (["export", "--output", "nowhere/model.onnx"], ["nowhere/model.onnx", "no folder"]),
        (["explain", "a.png", "--target", "whale"], ["whale", "truck"]),
        (["predict", "a.png", "--device", "toaster"], ["toaster"]),
    ],
)
def test_bad_input_is_one_line_and_a_failing_exit(pictures, model_folder, arguments, words):
    arguments = [pictures / "a.png" if each == "a.png" else each for each in arguments]
    if "--variant" not in arguments:
        arguments += ["--variant", model_folder]
    done = run(*arguments)
    assert done.returncode != 0
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert all(word in line for word in words)


@pytest.mark.parametrize("command", [[], ["predict"], ["explain"], ["export"], ["variants"]])
def test_every_command_has_help(command):
    done = run(*command, "--help")
    assert done.returncode == 0
    assert "usage: " in done.stdout
