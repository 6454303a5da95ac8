"""These tests run the commands on folders of images, and check what they write."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobilenetv3_cifar import MobileNetV3Cifar, list_variants

pytest_plugins = ["tests.command_line"]


@pytest.fixture
def labelled(tmp_path, sample):
    """Create a folder with stray files and two subfolders named after their images' labels."""
    folder = tmp_path / "labelled"
    for label, index in (("cat", 3), ("ship", 8)):
        (folder / label).mkdir(parents=True)
        for number, pixels in enumerate(sample[0][sample[1] == index][:3]):
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
        (folder / label / ".DS_Store").touch()
    (folder / ".git").mkdir()
    (folder / "README.txt").touch()
    return folder


def test_evaluate_counts_the_right_predictions_for_a_labelled_folder(cli, labelled):
    variant = list_variants()[0].name
    model = MobileNetV3Cifar.from_pretrained(variant)
    right = {
        label: sum(
            label in model.predict(path, top_k=1) for path in (labelled / label).glob("*.png")
        )
        for label in ("cat", "ship")
    }
    status, out, err = cli("evaluate", labelled, "--json", "--variant", variant)
    assert (status, err) == (0, "")
    scores = json.loads(out)
    assert {label: each["correct"] for label, each in scores["per_class"].items()} == right
    assert (scores["correct"], scores["total"]) == (sum(right.values()), 6)
    assert scores["accuracy"] == sum(right.values()) / 6
    table = cli("evaluate", labelled, "--variant", variant)[1]
    assert f"{sum(right.values()) / 6:.2%}" in table
    assert len(table.splitlines()) == 5


def test_evaluate_refuses_folders_that_are_not_labels(cli, labelled, model_folder):
    (labelled / "lorry").mkdir()
    status, _, err = cli("evaluate", labelled, "--variant", model_folder)
    assert (status, len(err.splitlines())) == (1, 1)
    assert "'lorry', which is not a label" in err
    status, _, err = cli("evaluate", labelled / "cat", "--variant", model_folder)
    assert (status, "has no folders" in err) == (1, True)
    (labelled / "cat" / "broken.png").write_bytes(b"not an image")
    (labelled / "lorry").rmdir()
    status, out, err = cli("evaluate", labelled, "--variant", model_folder, "--json")
    assert (status, json.loads(out)["total"]) == (1, 6)
    assert "broken.png" in err


def test_explain_of_a_folder_writes_a_map_for_each_image(cli, images, model_folder, tmp_path):
    output = tmp_path / "maps"
    status, out, err = cli("explain", images, "--variant", model_folder, "--output", output)
    written = sorted(path.relative_to(output) for path in output.rglob("*.png"))
    assert written == [Path("a.png.png"), Path("more/b.jpg.png")]
    assert (status, len(out.splitlines())) == (1, 2)
    assert "notes" in err


def test_explain_skips_its_own_output_and_goes_on_after_an_overlay_that_cannot_be_written(
    cli, images, model_folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(images)
    image = Path("a.png").read_bytes()
    writable, too_long = "b" * 247 + ".png", "c" * 251 + ".png"  # overlay names: 255 and 259 bytes
    for name in (writable, too_long):
        Path(name).write_bytes(image)
    for _ in range(2):
        status, _, err = cli("explain", ".", "--variant", model_folder)
        assert (status, "ccc.png.png cannot be written: File name too long" in err) == (1, True)
        written = {path.name for path in Path("overlays").rglob("*.png")}
        assert written == {"a.png.png", "b.jpg.png", f"{writable}.png"}
    status, out, _ = cli("explain", "more", "--variant", model_folder, "--output", ".")
    assert (status, out.startswith("b.jpg.png: ")) == (0, True)


def test_explain_with_an_unknown_network_makes_no_folder(cli, images, tmp_path):
    assert cli("explain", images, "--variant", "typo", "--output", tmp_path / "maps")[0] == 1
    assert not (tmp_path / "maps").exists()


def test_int8_export_is_calibrated_with_the_images_of_a_folder(
    cli, monkeypatch, images, model_folder, tmp_path
):
    def export_onnx(model, path, int8_images):
        assert (int8_images.dtype, int8_images.shape) == (np.uint8, (2, 32, 32, 3))
        path.write_bytes(b"onnx")

    monkeypatch.setattr("mobilenetv3_cifar.export.export_onnx", export_onnx)
    output = tmp_path / "int8.onnx"
    status, out, err = cli(
        "export", "--variant", model_folder, "--output", output, "--int8", images
    )
    assert (status, out) == (1, f"{output}: 4 bytes\n")
    assert "notes" in err


def test_explain_never_replaces_an_input_image(cli, images, model_folder):
    (images / "a.png.png").write_bytes((images / "a.png").read_bytes())
    before = {path: path.read_bytes() for path in images.rglob("*.*")}
    for path, output in ((images / "a.png", images / "more" / ".." / "a.png"), (images, images)):
        done = cli("explain", path, "--output", output, "--variant", model_folder)
        assert (done.returncode, done.stdout) == (1, "")
        assert "would replace an input image: choose another --output\n" in done.stderr
    assert {path: path.read_bytes() for path in images.rglob("*.*")} == before


def test_a_folder_without_files_fails_and_the_rest_is_done(cli, images, model_folder, tmp_path):
    (tmp_path / "empty").mkdir()
    done = cli("predict", tmp_path / "empty", images / "a.png", "--variant", model_folder)
    assert done.returncode == 1
    assert "empty: the folder has no image files" in done.stderr
    assert "a.png: " in done.stdout


def test_a_label_named_all_keeps_its_row(cli, labelled, tmp_path):
    (labelled / "ship").rename(labelled / "all")
    labels = ["cat", "all"]
    MobileNetV3Cifar(blocks="cifar32", labels=labels, num_classes=2).save_pretrained(tmp_path / "m")
    lines = cli("evaluate", labelled, "--variant", tmp_path / "m")[1].splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["label", "all", "cat", "all"]
    assert [line.split()[2] for line in lines[1:4]] == ["3", "3", "6"]


def test_a_file_named_like_standard_input_is_read_from_the_disk(cli, sample, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(sample[0][0]).save("-", "PNG")
    for argument in (".", "./-"):
        status, out, err = cli("predict", argument)
        assert (status, err, out.count("\n")) == (0, "", 1)
