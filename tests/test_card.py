"""Test the model cards of the report's experiments, of our controls and of our own networks."""

import dataclasses
import json
import re

import pytest
from huggingface_hub import ModelCard

from tests.fake_results import config, history, int8, metrics
from training.experiments import EXPERIMENTS
from training.loop.run_folder import to_csv
from training.recipe import Recipe
from training.reports import card
from training.reports.claims import COSINE, OVERFIT, S4


def write(folder, content, settings=None, epochs=None):
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(content))
    settings = {"ood_score": "confidence", "ood_threshold": 0.4} | (settings or {})
    (folder / "config.json").write_bytes(config(**settings))
    (folder / "history.csv").write_bytes(to_csv(history(epochs or content["epochs"])))
    return folder


def card_of(folder):
    card.write_card(folder)
    text = (folder / "README.md").read_text()
    assert "{{" not in text
    assert "None" not in text
    assert not re.search(r"^[^|\n].*\n\|", text, re.MULTILINE)  # a blank line precedes a table
    return text


@pytest.fixture
def own(monkeypatch):
    """Add an experiment of the kind "own", and return its name."""
    row = dataclasses.replace(
        EXPERIMENTS[COSINE],
        name="large-ours",
        kind="own",
        summary="The best of all.",
        recipe=Recipe(schedule="cosine", ema=0.998),
    )
    monkeypatch.setitem(EXPERIMENTS, row.name, row)
    return row.name


def test_a_report_card_compares_with_the_report(tmp_path):
    text = card_of(write(tmp_path / S4, metrics(S4, 0.75)))
    assert "| accuracy | 74.65 % | 75.00 % | +0.35 |" in text
    assert "**75.00 %** (74.14 to 75.84 %)" in text
    assert "| validation images | 3.00 % | 1.00 % |" in text
    assert "below 0.4 is flagged as probably showing none of the ten classes" in text
    assert "140,000 images (each counted once per epoch) in 0.02 hours" in text
    for absent in ("8-bit ONNX file", "severity", "median time", "mirror image", "White-Box"):
        assert absent not in text


def test_a_card_names_the_seeds_that_were_trained_in_another_precision(tmp_path):
    shipped = metrics(S4, 0.75)
    shipped["training"]["precision"] = "bfloat16"
    folder = write(tmp_path / S4, shipped)
    (folder / "seeds").mkdir()
    for seed in (1, 2):
        (folder / "seeds" / f"{seed}.json").write_text(json.dumps(metrics(S4, 0.76, seed=seed)))
    text = card_of(folder)
    assert "over 3 seeds is 75.67 ± 0.58 %" in text
    assert "Training with seeds 1 and 2 used float32 activations." in text


def test_a_control_is_described_by_its_question(tmp_path):
    text = card_of(write(tmp_path / COSINE, metrics(COSINE, 0.83, train=0.90)))
    assert "by Maguire and Ashtar. The experiment asks: with another" in text
    assert "decreasing to 0 along a cosine" in text


def test_another_control_is_described_by_its_own_recipe(tmp_path):
    text = card_of(write(tmp_path / OVERFIT[0], metrics(OVERFIT[0], 0.4, train=1.0)))
    assert "rotation by up to" not in text
    assert "| `train_images` | `1000` |" in text
    assert f"The experiment asks: {EXPERIMENTS['small-overfit'].summary}" in text
    assert "the report's blocks" not in text


def test_a_card_of_our_own_has_every_section_that_was_measured(tmp_path, own):
    content = metrics(own, 0.96) | {
        "kind": "own",
        "flip_averaged": {"correct": 9_700, "total": 10_000, "accuracy": 0.97},
        "corruptions": {"gaussian_noise": [0.9, 0.8, 0.7]},
        "latency": [{"runtime": "onnxruntime", "device": "a cpu", "batch": 64, "milliseconds": 32}],
        "int8": int8(0.955),
    }
    content["validation"]["run"] = "large-ours-45k"
    content["training"]["images"] = 2_000_000
    settings = {"ood_score": "energy", "ood_threshold": -4.5}
    text = card_of(write(tmp_path / own, content, settings))
    assert "layout and training recipe are this project's own. The best of all." in text
    assert "averaged over each image and its mirror image | 97.00 %" in text
    noise = "gaussian noise: standard deviation 0.04, 0.08, 0.12 for pixel values from 0 to 1"
    assert f"| {noise} | 90.00 % | 80.00 % | 70.00 % |" in text
    assert "not CIFAR-10-C\nimages" in text
    assert "| onnxruntime | a cpu | 64 | 32.00 ms | 2,000 |" in text
    assert "a test accuracy of **95.50 %** (-0.50 points compared with" in text
    assert "(a cpu), the file is 1.20 times as fast as the float32 ONNX file" in text
    assert "zyxxmu/White-Box) | 95.28 % | 64.5 M |" in text
    assert "Only seed 0 was trained" in text
    assert "; the shipped weights are the moving average at the end of training |" in text
    assert "| **large-ours** | **96.00 %** | 59.0 M |" in text
    assert "the validation results are from the run `large-ours-45k`" in text
    assert "2,000,000 images" in text
    assert "| `ema` | `0.998` |" in text
    assert "An image with an energy score below -4.5 is flagged" in text


def test_a_folder_without_a_threshold_flags_nothing(tmp_path):
    folder = write(tmp_path / S4, metrics(S4, 0.75), {"ood_threshold": None})
    assert "flagged as" not in card_of(folder)


def test_the_metadata_is_that_of_the_metrics(tmp_path):
    folder = write(tmp_path / S4, metrics(S4, 0.75))
    card.write_card(folder)
    data = ModelCard.load(folder / "README.md").data
    assert {each.metric_name: each.metric_value for each in data.eval_results} == {
        "accuracy": 0.75,
        "macro precision": 0.751,
        "macro recall": 0.75,
        "macro F1": 0.75,
        "cross entropy": 0.7,
    }


def test_the_card_says_which_run_made_it_and_where_it_was_resumed(tmp_path):
    content = metrics(S4, 0.75)
    text = card_of(write(tmp_path / "a" / S4, content))
    assert f"This network is the result of `python -m training.train {S4}`." in text
    assert "| commit | started at c0ffee |" in text
    content["training"] |= {"commit": "c0ffee, decade+changes", "command": "python -m longer"}
    text = card_of(write(tmp_path / "b" / S4, content))
    assert "an intermediate checkpoint of `python -m longer`" in text
    assert "started at c0ffee, then resumed at decade+changes; `+changes` means" in text
