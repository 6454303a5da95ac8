"""These tests check which checkpoint a run resumes from, and which settings are refused."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from tests.tiny import EXPERIMENT, final_state, tiny_dataset, tiny_run
from training.errors import TrainingError
from training.loop import checkpoint, provenance
from training.loop.augmentation import EnlargeRotate
from training.loop.devices import check_bfloat16
from training.loop.optimizers import Adam
from training.loop.run import Run
from training.loop.run_folder import newest
from training.recipe import Recipe


def test_resuming_with_other_settings_is_refused_by_name(uninterrupted, tmp_path):
    shutil.copytree(uninterrupted, tmp_path, dirs_exist_ok=True)
    other = dataclasses.replace(EXPERIMENT, model=EXPERIMENT.model | {"dropout": 0.5})
    with pytest.raises(TrainingError, match=r"dropout was 0\.2 and is now 0\.5"):
        tiny_run(tmp_path, other).train()


def test_a_damaged_checkpoint_is_skipped_and_the_previous_one_used(uninterrupted, tmp_path):
    shutil.copytree(uninterrupted, tmp_path, dirs_exist_ok=True)
    newest = max(tmp_path.glob("step-*.safetensors"))
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    _, state, _, damaged = checkpoint.read(tmp_path)
    assert state.step < json.loads(newest.with_suffix(".json").read_text())["state"]["step"]
    assert len(damaged) == 1
    tiny_run(tmp_path).train()
    assert final_state(tmp_path) == final_state(uninterrupted)


def test_a_run_with_no_whole_checkpoint_says_so(uninterrupted, tmp_path):
    shutil.copytree(uninterrupted, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob("step-*.json"):
        path.write_text("{")
    with pytest.raises(checkpoint.TrainingError, match="no undamaged checkpoint"):
        checkpoint.read(tmp_path)


def test_checkpoints_contain_only_tensors_and_json(uninterrupted):
    endings = {path.suffix for path in uninterrupted.iterdir()} - {""}
    assert endings == {".safetensors", ".json", ".csv"}
    names = load_file(max(uninterrupted.glob("*.safetensors")))
    assert {name.split(".")[0] for name in names} == {"model", "optimizer"}


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": Adam(2e-3)},
        {"batch_size": 32},
        {"schedule": "cosine"},
        {"label_smoothing": 0.1},
        {"augmentations": (EnlargeRotate(5.0, 64),)},
    ],
    ids=str,
)
def test_any_other_recipe_is_refused_on_resuming_and_is_no_prefix(uninterrupted, tmp_path, change):
    shutil.copytree(uninterrupted, tmp_path, dirs_exist_ok=True)
    recipe = dataclasses.replace(EXPERIMENT.recipe, **change)
    other = dataclasses.replace(EXPERIMENT, recipe=recipe)
    with pytest.raises(TrainingError, match=f"{next(iter(change))} was .* and is now"):
        tiny_run(tmp_path, other).train()
    longer = dataclasses.replace(other, epochs=9)
    assert not EXPERIMENT.is_prefix_of(longer)


def test_the_settings_of_a_run_hold_every_field_of_its_recipe(tmp_path):
    settings = tiny_run(tmp_path).settings()
    assert {field.name for field in dataclasses.fields(Recipe)} <= settings.keys()


def test_a_flipped_bit_in_a_manifest_is_noticed(uninterrupted, tmp_path):
    shutil.copytree(uninterrupted, tmp_path, dirs_exist_ok=True)
    manifest = max(tmp_path.glob("step-*.json"))
    manifest.write_text(manifest.read_text().replace('"step": 6', '"step": 7'))
    damaged = checkpoint.read(tmp_path)[3]
    assert "SHA-256" in damaged[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4"),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR"),
        ("ACCELERATE_MIXED_PRECISION", "fp16"),
        ("ACCELERATE_USE_DEEPSPEED", "true"),
        ("ACCELERATE_USE_FSDP", "true"),
        ("ACCELERATE_USE_MEGATRON_LM", "true"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "true"),
    ],
)
def test_a_launch_option_that_changes_the_recipe_is_refused(tmp_path, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match=f"{name}={value.lower()} is not supported"):
        tiny_run(tmp_path)


@pytest.mark.parametrize("device", ["tpu", "cuda:x", "cpu:1", "cuda:99"])
def test_a_device_that_is_not_here_is_named(tmp_path, device):
    with pytest.raises(TrainingError, match=f"device {device} is not available"):
        Run(EXPERIMENT, tiny_dataset(), tmp_path, device=device)


@pytest.mark.parametrize(
    ("kind", "supported", "refusal"),
    [
        ("cpu", False, "this CPU does not support bfloat16;"),
        ("cuda", False, "this GPU does not support bfloat16;"),
        ("cuda", True, "needs Triton: pip install triton"),
    ],
)
def test_bfloat16_that_a_device_cannot_run_is_refused(monkeypatch, kind, supported, refusal):
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: supported)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TrainingError, match=f"{refusal}.* --precision float32"):
        check_bfloat16(kind)


def test_the_commit_tells_changes_of_loaded_files_and_a_missing_git(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a", *arguments], check=True)

    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    (tmp_path / "code.py").write_text("1")
    (tmp_path / "notes.py").write_text("1")
    git("add", ".")
    git("commit", "-qm", "first")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    ours = SimpleNamespace(__file__=str(tmp_path / "code.py"))
    monkeypatch.setitem(sys.modules, "code_of_ours", ours)
    head = provenance.git("rev-parse", "HEAD")
    (tmp_path / "notes.py").write_text("2")  # not loaded, so the change does not count
    assert provenance.commit() == head
    (tmp_path / "code.py").write_text("2")
    assert provenance.commit() == f"{head}+changes"
    git("worktree", "add", "-q", "tree")
    for root, commit in ((tmp_path / "tree", head), (tmp_path / "tree" / "copy", "unknown")):
        root.mkdir(exist_ok=True)
        monkeypatch.setattr(provenance, "ROOT", root)
        assert provenance.commit() == commit
    monkeypatch.setenv("PATH", "")
    assert provenance.commit() == "unknown"


def test_saving_leaves_files_that_are_no_checkpoints_alone(uninterrupted, tmp_path):
    shutil.copytree(uninterrupted, tmp_path, dirs_exist_ok=True)
    (tmp_path / "step-notes.txt").write_text("mine")
    (tmp_path / "step-000001-copy").mkdir()
    tiny_run(tmp_path).save()
    assert (tmp_path / "step-notes.txt").read_text() == "mine"
    assert (tmp_path / "step-000001-copy").is_dir()


def test_a_full_disk_is_named_and_keeps_the_last_checkpoint(uninterrupted, tmp_path, monkeypatch):
    shutil.copytree(uninterrupted, tmp_path, dirs_exist_ok=True)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    run = tiny_run(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingError, match="No space left on device"):
        run.save()
    assert final_state(tmp_path) == final_state(uninterrupted)
    assert not list(tmp_path.glob("*.partial"))


def test_an_earlier_run_of_a_shorter_experiment_must_have_the_same_settings(tmp_path):
    recipe = dataclasses.replace(EXPERIMENT.recipe, batch_size=16)
    earlier = dataclasses.replace(EXPERIMENT, recipe=recipe)
    tiny_run(tmp_path / "tiny" / "seed-0", earlier, images=32).train()
    longer = dataclasses.replace(EXPERIMENT, name="tiny-longer", epochs=3)
    run = tiny_run(tmp_path / longer.name / "seed-0", longer, [EXPERIMENT], images=32)
    changed = r"tiny/seed-0 began .*: batch_size was 16 and is now 64;"
    with pytest.raises(TrainingError, match=changed):
        run.train()


def test_a_warning_names_the_device_that_was_used_last(uninterrupted, tmp_path, capsys):
    shutil.copytree(uninterrupted, tmp_path, dirs_exist_ok=True)
    settings = tiny_run(tmp_path).settings()
    for device, warning in (("a", "now a"), ("b", "was a and is now b"), ("a", "was b")):
        tensors, state = newest(tmp_path, settings, {"device": device, "torch": "1"})
        checkpoint.write(tmp_path, tensors, state, settings)
        assert warning in capsys.readouterr().err
    newest(tmp_path, settings, {"device": "a", "torch": "1"})
    assert "is now" not in capsys.readouterr().err
