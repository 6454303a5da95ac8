"""These tests check the command line's output formats, exit codes and one-line errors."""

import contextlib
import csv
import io
import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from PIL import Image

from mobilenetv3_cifar import MobileNetV3Cifar, __version__, list_variants
from mobilenetv3_cifar.runtime import OnnxClassifier

pytest_plugins = ["tests.command_line"]
ROOT = Path(__file__).parent.parent


def run(*arguments):
    command = [sys.executable, "-m", "mobilenetv3_cifar", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_csv_has_a_row_for_each_rank_of_each_image(cli, images, model_folder):
    next(images.glob("two*")).unlink()
    done = cli("predict", images, "--variant", model_folder, "--format", "csv", "--top-k", 2)
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(Path(row["path"]).name, row["rank"]) for row in rows] == [
        *(("a.png", "1"), ("a.png", "2"), ("b.jpg", "1"), ("b.jpg", "2"))
    ]
    first = MobileNetV3Cifar.from_pretrained(model_folder).predict(images / "a.png", top_k=1)
    assert {rows[0]["label"]: pytest.approx(float(rows[0]["probability"]), abs=1e-5)} == first


def test_a_file_that_is_no_image_gets_a_line_and_exit_1_and_the_rest_is_done(
    cli, images, model_folder
):
    done = cli("predict", images, "--variant", model_folder, "--format", "jsonl")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert r"two\nnotes\x1b[31m.txt" in line
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(answer["path"]).name for answer in answers] == ["a.png", "b.jpg"]
    assert [len(answer["predictions"]) for answer in answers] == [3, 3]
    assert set(answers[0]["predictions"][0]) == {"label", "probability"}


def test_explain_writes_the_image_under_its_map(cli, images, model_folder, tmp_path):
    output = tmp_path / "overlay.png"
    arguments = ["--variant", model_folder, "--target", "ship", "--output", output]
    done = cli("explain", images / "more" / "b.jpg", *arguments)
    assert done.returncode == 0, done.stderr
    assert "ship" in done.stdout
    with Image.open(output) as image:
        assert image.size == (300, 200)
    assert [path.name for path in tmp_path.glob("*overlay*")] == ["overlay.png"]


def test_a_label_that_looks_like_an_index_is_a_label(cli, images, tmp_path):
    MobileNetV3Cifar(num_classes=3, labels=["1", "2", "0"]).save_pretrained(tmp_path / "digits")
    for target, label in (("1", "1"), ("0", "0")):
        arguments = ["--variant", tmp_path / "digits", "--target", target]
        done = cli("explain", images / "a.png", *arguments, "--output", tmp_path / "map.png")
        assert f"map.png: {label} " in done.stdout, done.stderr


def test_variants_lists_every_shipped_variant_best_first(cli):
    done = cli("variants")
    assert done.returncode == 0
    shipped = {path.parent.name for path in (ROOT / "model_cards").glob("*/metrics.json")}
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert {row[0] for row in rows} == shipped
    accuracies = [float(row[1].rstrip("%")) for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["predict", "a.png", "--variant", "tiny"], ["'tiny'"]),
        (["predict", "a.png", "--top-k", "0"], ["top_k", "0"]),
        (["explain", "nowhere.png"], ["nowhere.png", "does not exist"]),
        (["explain", "a.png", "--output", "overlay.xyz"], [".xyz"]),
        (["explain", "a.png", "--output", "overlay.psd"], ["must end in", "such as .png"]),
        (["export", "--output", "tests"], ["tests", "not a regular file"]),
        (["export", "--output", "nowhere/model.onnx"], ["nowhere/model.onnx", "nowhere is not"]),
        (["explain", "a.png", "--target", "whale"], ["whale", "truck"]),
        (["predict", "a.png", "--device", "toaster"], ["toaster"]),
        (["predict", "a.png", "--device", "meta"], ["error: "]),
    ],
)
def test_bad_input_is_one_line_and_a_failing_exit(cli, images, model_folder, arguments, expected):
    arguments = [images / "a.png" if each == "a.png" else each for each in arguments]
    if "--variant" not in arguments:
        arguments += ["--variant", model_folder]
    done = cli(*arguments)
    assert done.returncode != 0
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert all(word in line for word in expected)


@pytest.mark.parametrize("arguments", [["predict", ""], ["predict", "a.png", "--variant", ""]])
def test_an_empty_argument_is_refused(arguments):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(": must not be empty\n")


def test_every_format_has_the_score_and_whether_the_image_is_probably_none(cli, images, tmp_path):
    model = MobileNetV3Cifar(ood_score="energy", ood_threshold=1000.0)
    model.save_pretrained(tmp_path / "flags")
    arguments = ["predict", images / "a.png", "--variant", tmp_path / "flags", "--top-k", 1]
    score = model.eval().predict(images / "a.png").ood_score
    status, out, _ = cli(*arguments)
    assert (status, f"(score {score:.3f}, probably none of the classes)" in out) == (0, True)
    row = json.loads(cli(*arguments, "--format", "jsonl")[1])
    (cells,) = csv.DictReader(io.StringIO(cli(*arguments, "--format", "csv")[1]))
    assert float(row["ood_score"]) == float(cells["ood_score"]) == pytest.approx(score, rel=1e-5)
    assert (row["probably_none"], cells["probably_none"]) == (True, "true")
    explained = cli("explain", *arguments[1:4], "--output", tmp_path / "map.png")[1]
    assert explained.endswith(", probably none of the classes\n")


def test_an_image_is_read_from_standard_input(cli, images, model_folder):
    data = (images / "a.png").read_bytes()
    status, out, err = cli("predict", "-", "--variant", model_folder, stdin=data)
    assert (status, err) == (0, "")
    assert out.startswith("-: ")
    status, _, err = cli("predict", "-", "--variant", model_folder, stdin=b"")
    assert (status, "is empty" in err) == (1, True)


def test_a_photo_above_the_upload_limits_is_classified(cli, tmp_path, model_folder):
    Image.new("L", (5200, 5000)).save(tmp_path / "phone.jpg")
    assert cli("predict", tmp_path / "phone.jpg", "--variant", model_folder)[0] == 0


def test_version_and_program_name(cli):
    assert cli("--version")[:2] == (0, f"mobilenetv3-cifar {__version__}\n")
    assert cli("--help")[1].startswith("usage: mobilenetv3-cifar ")
    for command in ("predict", "explain", "evaluate", "export", "variants"):
        assert cli(command, "--help")[1].startswith(f"usage: mobilenetv3-cifar {command} ")
    assert run("--help").stdout.startswith("usage: python -m mobilenetv3_cifar ")


def test_help_does_not_import_torch():
    code = (
        "import sys; sys.argv[1:] = ['predict', '--help']; import mobilenetv3_cifar.__main__ as m\n"
        "try: m.main()\nexcept SystemExit: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_variants_as_json_are_those_of_list_variants(cli):
    rows = json.loads(cli("variants", "--json")[1])
    assert [row["name"] for row in rows] == [variant.name for variant in list_variants()]
    assert rows[0]["test_accuracy"] == list_variants()[0].test_accuracy


def test_the_hub_options_reach_the_loader(cli, monkeypatch, images):
    asked = {}

    def from_pretrained(name, **options):
        asked.update(options, name=name)
        return MobileNetV3Cifar(blocks="cifar32").eval()

    monkeypatch.setattr(MobileNetV3Cifar, "from_pretrained", from_pretrained)
    monkeypatch.setattr(
        OnnxClassifier, "from_pretrained", lambda *_: pytest.fail("takes no revision")
    )
    options = ["--revision", "v1", "--token", "t", "--local-files-only", "--batch-size", 2]
    assert cli("predict", images / "a.png", "--variant", "owner/name", *options)[0] == 0
    assert asked == {
        "name": "owner/name",
        "revision": "v1",
        "token": "t",
        "local_files_only": True,
        "device": "cpu",
    }


def test_an_interrupt_is_one_line(cli, monkeypatch):
    def interrupt(arguments):
        print("begun")
        raise KeyboardInterrupt

    monkeypatch.setattr("mobilenetv3_cifar.commands.variants", interrupt)
    assert cli("variants") == (130, "begun\n", "error: interrupted\n")


@pytest.mark.parametrize(
    ("command", "redirection", "status", "expected"),
    [
        ("variants", ">&-", 1, "error: standard output is closed"),
        ("--help", ">&-", 1, "error: standard output is closed"),
        ("variants", "> /dev/full", 1, "No space left on device"),
        ("variants", "| true", 0, ""),
        ("--help", "| true", 0, ""),
        ("predict -", "<&-", 1, "error: -: the image is empty"),
        ('evaluate "$(printf "a\\nb")"', "", 1, r"error: a\nb: No such file or directory"),
    ],
)
def test_streams_that_are_closed_or_full_and_missing_folders_are_one_line(
    command, redirection, status, expected
):
    line = f"{sys.executable} -m mobilenetv3_cifar {command} {redirection}"
    done = subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == status
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == (1 if expected else 0)


def shown_on_a_terminal(command, model_folder, folder):
    """Run a command on a folder, and return the output that it shows on a terminal."""
    line = [sys.executable, "-m", "mobilenetv3_cifar", command, str(folder)]
    main_end, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))  # on a terminal with 0 columns, a bar would be empty
    with subprocess.Popen(
        [*line, "--variant", str(model_folder)], cwd=ROOT, stdout=terminal, stderr=terminal
    ):
        os.close(terminal)
        shown = b""
        with contextlib.suppress(OSError):  # on Linux, os.read raises this after the last output
            while data := os.read(main_end, 10_000):
                shown += data
    os.close(main_end)
    return shown.decode()


def test_on_a_terminal_only_evaluate_shows_a_bar(model_folder, tmp_path, sample):
    (tmp_path / "cat").mkdir()
    for index in range(100):
        Image.fromarray(sample[0][index]).save(tmp_path / "cat" / f"{index}.png")
    lines = shown_on_a_terminal("predict", model_folder, tmp_path).splitlines()
    assert len(lines) == 100
    assert all(line.startswith(str(tmp_path)) for line in lines)
    shown = shown_on_a_terminal("evaluate", model_folder, tmp_path)
    assert "100/100 [" in shown
    assert "flagged as probably none" in shown
