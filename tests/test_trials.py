"""These tests check what `training.train` refuses, writes and records about its commit."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from tests.tiny import EXPERIMENT, tiny_dataset, tiny_run
from training import train
from training.errors import TrainingError
from training.experiments import ABLATIONS, EXPERIMENTS
from training.loop import checkpoint, provenance, run


@pytest.mark.parametrize(
    ("option", "value", "trained"),
    [("epochs", 3, 3), ("limit", 64, 2), ("precision", "bfloat16", 2)],
)
def test_a_trial_makes_no_model_folder(tmp_path, monkeypatch, capsys, option, value, trained):
    monkeypatch.setitem(EXPERIMENTS, EXPERIMENT.name, EXPERIMENT)
    monkeypatch.setattr(train, "load", lambda data_dir, split: tiny_dataset(128))
    monkeypatch.setattr(train, "ROOT", tmp_path)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    argv = [EXPERIMENT.name, "--device", "cpu", "--runs-dir", str(tmp_path / "runs")]
    train.train_and_record(train.parse_arguments([*argv, f"--{option}", str(value)]))
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert capsys.readouterr().out == ""
    (trial,) = (tmp_path / "runs" / EXPERIMENT.name).iterdir()
    # The folder of a full run is `seed-0`, so a full run never resumes a trial.
    assert trial.name.startswith("seed-0-")
    state = checkpoint.read(trial)[1]
    assert (len(state.history), state.step) == (trained, trained * (1 if option == "limit" else 2))


def test_an_ablation_only_records_its_validation_accuracy(tmp_path, monkeypatch):
    row = dataclasses.replace(EXPERIMENT, name="ablation-tiny", kind="ablation")
    monkeypatch.setitem(ABLATIONS, row.name, row)
    monkeypatch.setattr(train, "load", lambda data_dir, split: tiny_dataset(128))
    monkeypatch.setattr(train, "ROOT", tmp_path)
    argv = [row.name, "--device", "cpu", "--runs-dir", str(tmp_path / "runs")]
    train.train_and_record(train.parse_arguments(argv))
    (written,) = (tmp_path / "docs").rglob("*.*")
    record, run = (
        json.loads(written.read_text()),
        checkpoint.read(tmp_path / "runs" / row.name / "seed-0"),
    )
    assert written.name == "ablation-tiny-seed-0.json"
    assert (record["kind"], record["epochs"]) == ("ablation", row.epochs)
    assert record["validation_accuracy"] == run[1].history[-1]["valid_accuracy"]
    assert not (tmp_path / "model_cards").exists()


@pytest.mark.parametrize(
    ("seed", "precision", "folders"),
    [(0, "float32", 0), (1, "float32", 1), (1, "bfloat16", 0)],
)
def test_only_another_seed_may_be_trained_in_float32(
    tmp_path, monkeypatch, seed, precision, folders
):
    made = []
    monkeypatch.setitem(EXPERIMENTS, EXPERIMENT.name, EXPERIMENT)
    monkeypatch.setattr(train, "load", lambda data_dir, split: tiny_dataset(128))
    monkeypatch.setattr(train, "make_model_folder", lambda *arguments: made.append(arguments))
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    options = ["--seed", str(seed), "--precision", precision]
    argv = [EXPERIMENT.name, "--device", "cpu", "--runs-dir", str(tmp_path), *options]
    train.train_and_record(train.parse_arguments(argv))
    assert len(made) == folders
    for folder, row, _, _, command, _ in made:
        assert (folder.name, row.recipe.precision) == ("seed-1-float32", "float32")
        assert command == "python -m training.train tiny --seed 1 --precision float32"


@pytest.mark.parametrize("epochs", [2, 3])
def test_a_trial_of_another_length_saves_no_shorter_run(tmp_path, monkeypatch, epochs):
    shorter = dataclasses.replace(EXPERIMENT, name="tiny-shorter", epochs=1)
    for row in (EXPERIMENT, shorter):
        monkeypatch.setitem(EXPERIMENTS, row.name, row)
    monkeypatch.setattr(train, "load", lambda data_dir, split: tiny_dataset(128))
    # Save only at the end, because more saves would delete the checkpoint of a shorter run.
    monkeypatch.setattr(run, "CHECKPOINT_SECONDS", 1e9)
    argv = [EXPERIMENT.name, "--device", "cpu", "--runs-dir", str(tmp_path)]
    train.train_and_record(train.parse_arguments([*argv, "--epochs", str(epochs)]))
    saved = [json.loads(path.read_text())["settings"] for path in tmp_path.rglob("step-*.json")]
    assert {settings["epochs"] for settings in saved} == {epochs}


def test_a_missing_validated_run_is_named_before_training(tmp_path, monkeypatch):
    row = dataclasses.replace(EXPERIMENT, validated_by="tiny-twin")
    monkeypatch.setitem(EXPERIMENTS, row.name, row)
    monkeypatch.setattr(train, "load", lambda data_dir, split: tiny_dataset(128))
    argv = [row.name, "--device", "cpu", "--runs-dir", str(tmp_path)]
    with pytest.raises(TrainingError, match="tiny needs the finished run of tiny-twin: "):
        train.train_and_record(train.parse_arguments(argv))
    assert not list(tmp_path.rglob("step-*.json"))


def test_a_seed_of_more_than_six_digits_is_refused(capsys):
    assert train.parse_arguments(["small-overfit", "--seed", "999999"]).seed == 999_999
    with pytest.raises(SystemExit):
        train.parse_arguments(["small-overfit", "--seed", "1000000"])
    message = "must be a whole number from 0 to 999999, not 1000000\n"
    assert capsys.readouterr().err.endswith(message)


def test_provenance_tells_of_changes_in_code_that_was_used(tmp_path, monkeypatch):
    for name in ("used.py", "unused.py"):
        (tmp_path / name).write_text("")
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init"], ["add", "."], [*author, "commit", "-m", "first"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    monkeypatch.setitem(sys.modules, "used", SimpleNamespace(__file__=str(tmp_path / "used.py")))
    head = provenance.commit()
    assert re.fullmatch("[0-9a-f]{40}", head)
    (tmp_path / "unused.py").write_text("changed")
    assert provenance.commit() == head
    (tmp_path / "used.py").write_text("changed")
    assert provenance.commit() == f"{head}+changes"


def test_a_run_also_makes_the_folders_of_shorter_experiments(tmp_path, monkeypatch, capsys):
    longer = dataclasses.replace(EXPERIMENT, name="tiny-longer", epochs=3)
    for row in (EXPERIMENT, longer):
        monkeypatch.setitem(EXPERIMENTS, row.name, row)
    monkeypatch.setattr(train, "load", lambda data_dir, split: tiny_dataset())
    monkeypatch.setattr(train, "ROOT", tmp_path)
    argv = [longer.name, "--device", "cpu", "--runs-dir", str(tmp_path / "runs")]
    train.train_and_record(train.parse_arguments(argv))
    cards = tmp_path / "model_cards"
    both = [str(cards / row.name) for row in (longer, EXPERIMENT)]
    assert capsys.readouterr().out.split() == both
    for row in (EXPERIMENT, longer):
        metrics = json.loads((cards / row.name / "metrics.json").read_text())
        assert metrics["epochs"] == row.epochs
        assert metrics["training"]["command"] == "python -m training.train tiny-longer"
    shutil.rmtree(tmp_path / "runs" / EXPERIMENT.name)
    train.train_and_record(train.parse_arguments(argv))
    assert capsys.readouterr().out.split() == both[:1]


def test_a_finished_run_needs_no_device_that_supports_its_precision(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    tiny_run(tmp_path, images=32).train()
    recipe = dataclasses.replace(EXPERIMENT.recipe, precision="bfloat16")
    row = dataclasses.replace(EXPERIMENT, recipe=recipe)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    tiny_run(tmp_path, row, images=32)
    with pytest.raises(TrainingError, match="this CPU does not support bfloat16"):
        tiny_run(tmp_path, dataclasses.replace(row, epochs=3), images=32)
