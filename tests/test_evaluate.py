"""These tests compare metrics with values worked out by hand."""

import dataclasses
import json
import math
import shutil
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import update_bn

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.preprocessing import LABELS
from mobilenetv3_cifar.variants import variants_folder
from tests.networks import untrained
from tests.tiny import tiny_dataset
from training import evaluate
from training.dataset.cifar10 import Split
from training.experiments import ABLATIONS, EXPERIMENTS, Experiment
from training.loop import checkpoint
from training.loop.checkpoint import State
from training.loop.validation import correct_and_loss, split_logits, to_inputs
from training.reports.metrics import (
    CORRUPTIONS,
    calibration_error,
    corrupt,
    flip_averaged,
    measure,
    robustness,
    summarize,
)
from training.reports.shipped_weights import fit_decisions, fit_temperature

LETTERS = ("a", "b", "c", "d", "e", "f")


@pytest.fixture(scope="module")
def model():
    return MobileNetV3Cifar(num_classes=6, labels=LETTERS).eval()


def logits_for(predicted, classes=6):
    """Return logits that give the `predicted` classes a probability of almost 1."""
    return torch.nn.functional.one_hot(torch.tensor(predicted), classes).float() * 10


def test_precision_recall_and_confusion_match_values_worked_out_by_hand(model):
    truth = np.array([0, 0, 0, 1, 1, 2, 3, 4, 5, 5], np.uint8)
    predicted = [0, 0, 1, 1, 2, 2, 3, 4, 5, 0]
    metrics = measure(model.config, logits_for(predicted), truth)
    assert (metrics["correct"], metrics["total"], metrics["accuracy"]) == (7, 10, 0.7)
    assert metrics["per_class"]["a"] == {
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(2 / 3),
        "f1": pytest.approx(2 / 3),
        "support": 3,
    }
    precisions, recalls = [2 / 3, 1 / 2, 1 / 2, 1, 1, 1], [2 / 3, 1 / 2, 1, 1, 1, 1 / 2]
    assert metrics["precision_macro"] == pytest.approx(sum(precisions) / 6)
    assert metrics["recall_macro"] == pytest.approx(sum(recalls) / 6)
    assert metrics["confusion_matrix"][0] == [2, 1, 0, 0, 0, 0]  # of three a's, one predicted as b
    assert metrics["confusion_matrix"][5] == [1, 0, 0, 0, 0, 1]


def test_top5_counts_a_class_among_the_five_highest(model):
    logits = torch.tensor([[6.0, 5, 4, 3, 2, 1]] * 2)
    assert measure(model.config, logits, np.array([4, 5], np.uint8))["top5_accuracy"] == 0.5


def test_loss_is_the_mean_over_images():
    logits = torch.tensor([[0.0, 0.0], [0.0, math.log(3)]])
    metrics = summarize(logits, np.array([0, 1], np.uint8))
    assert metrics["loss"] == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)
    assert correct_and_loss(logits, np.array([0, 1], np.uint8))[0] == 2


def test_calibration_error_is_the_mean_gap_between_confidence_and_accuracy():
    # Three of the four predictions with confidence 0.9 are right, so confidence and accuracy differ
    # by 0.15. One of the two predictions with confidence 0.6 is right: the difference is 0.1.
    probabilities = torch.tensor([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2)
    labels = np.array([0, 0, 0, 1, 0, 1], np.uint8)
    expected = (4 * 0.15 + 2 * 0.1) / 6
    assert calibration_error(probabilities, labels) == pytest.approx(expected, abs=1e-6)


def test_confident_correct_predictions_are_perfectly_calibrated():
    assert calibration_error(torch.eye(3), np.arange(3, dtype=np.uint8)) == 0


def test_the_fitted_temperature_undoes_overconfidence():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 5, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0].numpy()
    assert fit_temperature(logits, labels) == pytest.approx(1, abs=0.1)
    assert fit_temperature(logits * 3, labels) == pytest.approx(3, abs=0.3)


def test_the_temperature_of_logits_that_are_always_wrong_stays_within_bounds():
    wrong = torch.nn.functional.one_hot(torch.zeros(50, dtype=torch.long), 2) * 5.0
    assert fit_temperature(wrong, np.ones(50, np.uint8)) == 100


@pytest.mark.parametrize("score", ["confidence", "energy"])
def test_five_percent_of_the_validation_images_are_flagged_by_either_score(score):
    model, data = MobileNetV3Cifar(blocks="cifar32", ood_score=score).eval(), tiny_dataset()
    # Measure the batch-norm statistics, so that the outputs differ between images.
    update_bn([to_inputs(torch.from_numpy(data.train.images), model)], model)
    model.config = fit_decisions(model, data)
    metrics = measure(model.config, split_logits(model, data.validation), data.validation.labels)
    assert metrics["flagged"] == pytest.approx(0.05, abs=0.02)
    flagged = [each.probably_none for each in model.predict(list(data.validation.images))]
    assert 3 <= sum(flagged) <= 7


def test_flip_averaging_uses_the_mean_of_both_probabilities():
    one, mirrored = torch.tensor([[2.0, 1, 0], [0, 1, 0]]), torch.tensor([[0.0, 2, 0], [0, 2, 0]])
    assert flip_averaged(one, mirrored, np.array([1, 1], np.uint8))["accuracy"] == 1.0
    assert flip_averaged(one, one, np.array([1, 1], np.uint8))["accuracy"] == 0.5


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda each: each.__name__)
def test_corruptions_grow_with_severity_and_repeat_exactly(sample, corruption):
    images = sample[0][:20]
    changes = []
    for level in CORRUPTIONS[corruption]:
        corrupted = corrupt(images, corruption, level)
        assert np.array_equal(corrupted, corrupt(images, corruption, level))
        changes.append(np.abs(corrupted.astype(float) - images).mean())
    assert 0 < changes[0] < changes[1] < changes[2]


def test_accuracy_under_corruption_has_a_value_for_each_severity():
    model = MobileNetV3Cifar(blocks="cifar32").eval()
    accuracies = robustness(model, tiny_dataset().test)
    assert set(accuracies) == {each.__name__ for each in CORRUPTIONS}
    assert all(len(each) == 3 and min(each) >= 0 for each in accuracies.values())


def test_logits_of_a_split_come_in_its_order(sample):
    cifar = MobileNetV3Cifar().eval()
    split = Split(sample[0][:70], sample[1][:70])
    whole = split_logits(cifar, split)
    assert whole.shape == (70, 10)
    torch.testing.assert_close(whole[66:], split_logits(cifar, split.take(slice(66, None))))


@pytest.mark.parametrize(("blocks", "image_size"), [("cifar32", 32), ("report", 48)])
def test_logits_of_a_split_give_the_probabilities_of_predict(sample, blocks, image_size):
    model = untrained(sample[0][:64], blocks=blocks, image_size=image_size)
    split = Split(sample[0][100:130], sample[1][100:130])
    for prediction, row in zip(
        model.predict(split.images, top_k=None), split_logits(model, split).softmax(1), strict=True
    ):
        probabilities = dict(zip(model.config.labels, row.tolist(), strict=True))
        assert probabilities == pytest.approx(prediction, abs=1e-5)


@pytest.mark.parametrize(
    ("path", "split"),
    [
        # 35k/15k would be wrong: 10,000 of its validation images are training images of 45k/5k.
        ("owner/small-cifar32", "45k/5k"),
        ("elsewhere/small-dropout0.7-epochs4", "35k/15k"),
    ],
)
def test_the_last_part_of_the_path_determines_the_split(path, split):
    assert evaluate.dataset_split(path, Path(path)) == split


def test_the_split_is_read_from_a_checkpoint_or_metrics_json(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint.write(tmp_path, {}, State(), {"split": "'50k'"})
    assert evaluate.dataset_split(".", Path()) == "50k"
    shutil.copy(variants_folder() / "small-cifar32" / "metrics.json", tmp_path)
    for path in tmp_path.glob("step-*"):
        path.unlink()
    assert evaluate.dataset_split(".", Path()) == "45k/5k"


@pytest.mark.parametrize("experiments", [EXPERIMENTS, ABLATIONS])
def test_the_network_of_a_run_is_measured(tmp_path, monkeypatch, capsys, experiments):
    row, data = Experiment("tiny", {"blocks": "cifar32", "dropout": 0.2}, 1), tiny_dataset()
    model, run = MobileNetV3Cifar(**row.model).eval(), tmp_path / "tiny" / "seed-0"
    optimizer = row.recipe.optimizer.build(model)
    settings = {name: repr(value) for name, value in row.model.items()} | row.recipe.settings()
    checkpoint.write(run, checkpoint.pack(model, optimizer), State(), settings)
    monkeypatch.setitem(experiments, "tiny", row)
    monkeypatch.setattr(evaluate, "load", lambda *_: data)
    monkeypatch.setattr("sys.argv", ["evaluate", str(run), "--device", "cpu"])
    evaluate.main()
    expected = measure(model.config, split_logits(model, data.test), data.test.labels)
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(expected))
    averaged = Mock(side_effect=flip_averaged)
    monkeypatch.setattr(evaluate, "flip_averaged", averaged)
    monkeypatch.setattr("sys.argv", ["evaluate", str(run), "--device", "cpu", "--all"])
    evaluate.main()
    mirrored = Split(data.test.images[:, :, ::-1].copy(), data.test.labels)
    averaged.assert_called_once()
    assert torch.equal(averaged.call_args[0][1], split_logits(model, mirrored))
    result = json.loads(capsys.readouterr().out)
    assert result["flip_averaged"]["total"] == len(data.test)
    assert result["corruptions"] == robustness(model, data.test)
    for other in ({"blocks": "paper"}, {"blocks": "cifar32"}, row.model | {"mean": (0, 0, 0)}):
        monkeypatch.setitem(experiments, "tiny", dataclasses.replace(row, model=other))
        with pytest.raises(SystemExit, match=r"^error: the run in .*/seed-0 began with another"):
            evaluate.main()


def test_validation_is_refused_if_the_training_images_are_unknown(tmp_path, monkeypatch, capsys):
    MobileNetV3Cifar(blocks="cifar32", labels=LABELS).save_pretrained(tmp_path / "mine")
    monkeypatch.setattr(evaluate, "load", lambda *_: tiny_dataset())
    monkeypatch.setattr("sys.argv", ["evaluate", str(tmp_path / "mine"), "--device", "cpu"])
    evaluate.main()
    assert json.loads(capsys.readouterr().out)["total"] == 100
    monkeypatch.setattr("sys.argv", [*sys.argv, "--split", "validation"])
    with pytest.raises(SystemExit, match=r"^error: it is unknown on which images .*/mine was"):
        evaluate.main()
