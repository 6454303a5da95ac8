"""These tests publish training runs as model folders, and check the files and numbers in them."""

import csv
import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image

from mobilenetv3_cifar import MobileNetV3Cifar
from tests.tiny import RECIPE, tiny_dataset
from training import publish
from training.errors import ResultsError, TrainingError
from training.experiments import EXPERIMENTS
from training.loop.checkpoint import State
from training.loop.run import Run
from training.loop.validation import split_logits
from training.reports import card, figures, model_folder
from training.reports.metrics import measure
from training.reports.schema import read_metrics

NAME = "small-dropout0.9-epochs3"
MINIATURE = dataclasses.replace(
    EXPERIMENTS[NAME], model={"size": "small", "dropout": 0.9, "image_size": 64}, recipe=RECIPE
)
COMMAND = f"python -m training.train {NAME}"
FILES = {
    "README.md",
    "config.json",
    "model.safetensors",
    "metrics.json",
    "history.csv",
    "curves.png",
    "confusion_matrix.png",
    "batch.png",
    "activation_maps.png",
}


def make_folder(folder, row, cards, data):
    model_folder.make_model_folder(folder, row, data, cards, COMMAND, torch.device("cpu"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train a tiny experiment with two seeds. Return the folder that contains runs/ and cards/."""
    root = tmp_path_factory.mktemp("trained")
    for seed in (0, 1):
        folder = root / "runs" / NAME / f"seed-{seed}"
        Run(MINIATURE, tiny_dataset(64), folder, seed=seed, device="cpu").train()
        make_folder(folder, MINIATURE, root / "cards", tiny_dataset(64))
    return root


@pytest.fixture(scope="module")
def folder(trained):
    return trained / "cards" / NAME


def test_the_folder_holds_exactly_the_promised_files(folder):
    assert {path.name for path in folder.iterdir()} == FILES | {"seeds"}
    assert [path.name for path in (folder / "seeds").iterdir()] == ["1.json"]


def test_the_metrics_are_measured_with_the_shipped_weights(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    model, test = MobileNetV3Cifar.from_pretrained(folder), tiny_dataset().test
    again = measure(model.config, split_logits(model, test), test.labels)
    assert metrics["test"] == json.loads(json.dumps(again))
    assert metrics["parameters"] == 1_836_082
    assert metrics["report"] == {
        "precision": 0.6941715863943863,
        "recall": 0.693,
        "accuracy": 0.693,
    }
    config = json_of(folder, "config.json")
    assert metrics["weights"]["sha256"] == config["weights_sha256"]
    assert metrics["weights"]["config_sha256"] == config["config_sha256"]
    assert metrics["weights"]["precision"].startswith("float16")
    facts = {"seconds", "device", "torch", "commit", "data_sha256", "precision", "processes"}
    assert set(metrics["training"]) == facts | {"command", "images"}
    assert metrics["kind"] == "report"


def test_the_history_has_a_row_per_epoch(folder):
    with (folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    columns = "epoch lr train_loss train_accuracy valid_loss valid_accuracy seconds"
    assert list(rows[0]) == columns.split()
    assert float(rows[0]["lr"]) == 1e-3
    history = read_metrics(folder / "seeds" / "1.json")["history"]
    assert (list(history), history["lr"]) == (columns.split(), [1e-3] * 3)


def test_wrong_metrics_of_a_seed_are_not_written(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(model_folder, "count_macs", lambda model, size: "many")
    run = trained / "runs" / NAME / "seed-1"
    with pytest.raises(ResultsError, match="seed-1: macs must be int, not 'many'"):
        make_folder(run, MINIATURE, tmp_path / "cards", tiny_dataset(64))
    assert not (tmp_path / "cards").exists()


def test_after_a_failure_the_measurements_are_used_again(trained, tmp_path, monkeypatch):
    run, cards, data = trained / "runs" / NAME / "seed-0", tmp_path / "cards", tiny_dataset(64)
    with monkeypatch.context() as failing:
        failing.setattr(figures, "activation_maps", None)
        with pytest.raises(TypeError):
            make_folder(run, MINIATURE, cards, data)
    monkeypatch.setattr(model_folder, "measurements", None)
    make_folder(run, MINIATURE, cards, data)
    assert json_of(cards / NAME) == json_of(trained / "cards" / NAME)
    assert not (run / "metrics.json").exists()  # a later call measures again


def test_the_cards_metadata_says_what_the_metrics_say(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    data = ModelCard.load(folder / "README.md").data
    results = {result.metric_name: result.metric_value for result in data.eval_results}
    assert results == {
        "accuracy": metrics["test"]["accuracy"],
        "macro precision": metrics["test"]["precision_macro"],
        "macro recall": metrics["test"]["recall_macro"],
        "macro F1": metrics["test"]["f1_macro"],
        "cross entropy": metrics["test"]["loss"],
    }
    assert data.eval_results[0].dataset_type == "uoft-cs/cifar10"
    assert data.datasets == ["uoft-cs/cifar10"]


def test_the_card_compares_with_the_report_and_states_the_deviation(folder):
    card.write_card(folder)
    text = (folder / "README.md").read_text()
    metrics = json.loads((folder / "metrics.json").read_text())
    ours = metrics["test"]["accuracy"]
    assert f"| accuracy | 69.30 % | {100 * ours:.2f} % | {100 * (ours - 0.693):+.2f} |" in text
    other = json.loads((folder / "seeds" / "1.json").read_text())["test"]["accuracy"]
    mean, deviation = np.mean([ours, other]), np.std([ours, other], ddof=1)
    assert f"over 2 seeds is {100 * mean:.2f} ± {100 * deviation:.2f} %" in text
    assert "{{" not in text
    assert "None" not in text


def test_writing_the_card_and_figures_again_changes_nothing(folder):
    card.write_card(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    card.write_card(folder)
    figures.draw_curves_and_matrices(folder)
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert after == before


def test_the_cards_snippet_runs_as_printed(folder, monkeypatch, capsys):
    text = (folder / "README.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.setattr("mobilenetv3_cifar.variants.variants_folder", lambda: folder.parent)
    exec(compile(snippet, "card", "exec"), {})
    assert "airplane" in capsys.readouterr().out


def test_every_image_of_the_card_opens(folder):
    text = (folder / "README.md").read_text()
    images = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert set(images) == {name for name in FILES if name.endswith(".png")}
    for name in images:
        with Image.open(folder / name) as image:
            assert min(image.size) > 200


@pytest.mark.parametrize("same", [True, False])
def test_a_retrained_folder_loses_the_onnx_files_of_its_old_weights(folder, tmp_path, same):
    copied = shutil.copytree(folder, tmp_path / NAME)
    staged = shutil.copytree(folder, tmp_path / "new", ignore=shutil.ignore_patterns("seeds"))
    for name in ("model.onnx", "model-int8.onnx"):
        (copied / name).write_bytes(b"of the old weights")
    measured = {"int8": {"bytes": 1}, "latency": [{"batch": 1}]}
    (copied / "metrics.json").write_text(json.dumps(json_of(folder) | measured))
    if not same:
        MobileNetV3Cifar.from_pretrained(folder, temperature=2).save_pretrained(staged)
    model_folder.install_folder(staged, copied)
    assert len(list(copied.glob("*.onnx"))) == (2 if same else 0)
    assert json_of(copied) == json_of(folder) | (measured if same else {})


def test_an_interrupted_publication_leaves_no_incomplete_variant(folder, tmp_path, monkeypatch):
    """A folder is a variant once it has metrics.json, so this file must be written last."""
    staged = shutil.copytree(folder, tmp_path / NAME, ignore=shutil.ignore_patterns("seeds"))
    written = []
    monkeypatch.setattr(model_folder, "replace_files", lambda folder, files: written.extend(files))
    (tmp_path / "cards").mkdir()
    model_folder.install_folder(staged, tmp_path / "cards")
    assert set(written) == FILES
    assert written[-2:] == ["config.json", "metrics.json"]


def json_of(folder, name="metrics.json"):
    return json.loads((folder / name).read_text())


def test_the_provenance_names_every_device_that_a_run_used():
    machine = {"device": "cpu: old", "torch": "2.14.1", "commit": "c0ffee", "threads": 2}
    state = State(environments=[machine, machine | {"device": "cpu: new"}])
    provenance = model_folder.provenance_of(
        state, {"precision": "bf16", "processes": 2, "data_sha256": "d"}
    )
    assert provenance == {
        "seconds": 0,
        "precision": "bf16",
        "processes": 2,
        "data_sha256": "d",
        "device": "cpu: old, cpu: new",
        "torch": "2.14.1",
        "commit": "c0ffee",
    }


def test_a_run_that_has_not_ended_gets_no_model_folder(tmp_path, trained):
    longer = dataclasses.replace(MINIATURE, epochs=4)
    run = trained / "runs" / NAME / "seed-0"
    for folder, row in ((tmp_path, MINIATURE), (run, longer)):
        with pytest.raises(TrainingError, match="has not ended"):
            make_folder(folder, row, tmp_path / "cards", tiny_dataset())


def run_publish(monkeypatch, *argv):
    monkeypatch.setattr("sys.argv", ["publish", NAME, *argv])
    publish.main()


def test_a_dry_run_lists_the_files_that_would_be_pushed(folder, monkeypatch, capsys):
    monkeypatch.setattr("mobilenetv3_cifar.variants.variants_folder", lambda: folder.parent)
    run_publish(monkeypatch, "--repo-id", "owner/name", "--dry-run")
    first, *files = capsys.readouterr().out.splitlines()
    assert first == "to owner/name, in one commit:"
    assert {line.split()[0] for line in files} == FILES | {"seeds/1.json"}
    with pytest.raises(SystemExit, match=r"^error: 'not a name' is not a repository id"):
        run_publish(monkeypatch, "--repo-id", "not a name", "--dry-run")
