"""These tests check experiments that train on their validation images, and so need a twin."""

import csv
import json
from dataclasses import replace

import pytest
import torch

from mobilenetv3_cifar import MobileNetV3Cifar
from tests.tiny import tiny_dataset, tiny_run
from training import evaluate, train
from training.dataset.cifar10 import Split
from training.errors import TrainingError
from training.experiments import EXPERIMENTS, Experiment, by_name
from training.loop import checkpoint
from training.loop.augmentation import Flip
from training.loop.checkpoint import State
from training.loop.optimizers import Sgd
from training.loop.validation import split_outputs
from training.recipe import Recipe
from training.reports import figures, model_folder, results, shipped_weights
from training.reports.metrics import measure
from training.reports.shipped_weights import fit_decisions, save_weights

RECIPE = Recipe(optimizer=Sgd(0.02), batch_size=32, augmentations=(Flip(),), split="45k/5k")
TWIN = Experiment("tiny-twin", {"blocks": "cifar32"}, 2, RECIPE, kind="control")
ROW = replace(
    TWIN, name="tiny-all", recipe=replace(RECIPE, split="50k"), validated_by=TWIN.name, summary="?"
)


def test_a_row_may_train_on_its_validation_images_only_with_a_twin():
    assert by_name([ROW, TWIN]) == {ROW.name: ROW, TWIN.name: TWIN}
    with pytest.raises(ValueError, match="tiny-all trains on its validation images"):
        replace(ROW, validated_by="")


@pytest.mark.parametrize(
    "twin",
    [
        replace(TWIN, name="another"),
        replace(TWIN, model={"blocks": "cifar32", "dropout": 0.1}),
        replace(TWIN, epochs=3),
        replace(TWIN, recipe=replace(RECIPE, ema=0.9)),
        replace(ROW, name=TWIN.name),
    ],
)
def test_a_twin_differs_only_in_its_split_and_does_not_train_on_the_validation_images(twin):
    with pytest.raises(ValueError, match="'tiny-twin', which validates tiny-all, must be the same"):
        by_name([ROW, twin])


def test_temperature_threshold_and_validation_results_come_from_the_twin(tmp_path, monkeypatch):
    runs, data = tmp_path / "runs", tiny_dataset()
    for row in (TWIN, ROW):
        monkeypatch.setitem(EXPERIMENTS, row.name, row)
        images = 64 if row is TWIN else 192  # different images make two different networks
        tiny_run(runs / row.name / "seed-0", row, images=images).train()
    run, cpu = runs / ROW.name / "seed-0", torch.device("cpu")
    folder = model_folder.make_model_folder(run, ROW, data, tmp_path / "cards", "train", cpu)
    shipped = MobileNetV3Cifar.from_pretrained(folder)
    twin, history = model_folder.load_twin(run, ROW)
    assert shipped.config == fit_decisions(twin, data)
    assert shipped.config != fit_decisions(shipped, data)
    metrics = json.loads((folder / "metrics.json").read_text())
    logits, _ = split_outputs(twin, data.validation)
    expected = measure(shipped.config, logits, data.validation.labels) | {"run": TWIN.name}
    assert metrics["validation"] == json.loads(json.dumps(expected))
    assert metrics["test"]["loss"] != metrics["validation"]["loss"]  # both have the same images
    rows = list(csv.DictReader((folder / "history.csv").open()))
    assert [float(row["valid_loss"]) for row in rows] == [row["valid_loss"] for row in history]
    assert [float(row["train_loss"]) for row in rows] != [row["train_loss"] for row in history]
    # During training, no accuracy on training images is reported as validation accuracy.
    assert "nan" in (run / "history.csv").read_text()
    plot = figures.curves(results.read(folder)).axes[1]
    assert plot.get_legend_handles_labels()[1] == ["training, augmented", "validation (tiny-twin)"]
    card = " ".join((folder / "README.md").read_text().split())
    assert (
        card.count("fitted on the validation images, with the network of the run `tiny-twin`.") == 2
    )
    assert "rounding the weights of the run `tiny-twin` to this precision" in card


def checkpoint_of(folder, row, settings):
    """Write a checkpoint of an untrained network as the end of a run of `row`."""
    model = MobileNetV3Cifar(**row.model)
    tensors = checkpoint.pack(model, row.recipe.optimizer.build(model))
    settings |= {name: repr(value) for name, value in row.model.items()}
    checkpoint.write(folder, tensors, State(history=[{}] * row.epochs), settings)


@pytest.mark.parametrize(("key", "was", "now"), [("ema", "0.5", "0.0"), ("epochs", 3, 2)])
def test_a_twin_of_another_recipe_or_length_is_refused(tmp_path, monkeypatch, key, was, now):
    monkeypatch.setitem(EXPERIMENTS, TWIN.name, TWIN)
    settings = RECIPE.settings() | {"epochs": 2, key: was}
    checkpoint_of(tmp_path / TWIN.name / "seed-0", TWIN, settings)
    what = rf"needs the .*: .* settings: {key} was {was} and is now {now}; use"
    with pytest.raises(TrainingError, match=what):
        model_folder.load_twin(tmp_path / ROW.name / "seed-0", ROW)


def test_the_twin_decides_whether_the_weights_are_rounded(tmp_path, monkeypatch):
    data, cpu = tiny_dataset(), torch.device("cpu")
    data = data._replace(validation=Split(data.validation.images, 1 + 0 * data.validation.labels))
    twin, network = MobileNetV3Cifar(**TWIN.model), MobileNetV3Cifar(**ROW.model)
    *_, bias = twin.parameters()
    bias.data[1] = 100  # the twin predicts class 1, unless rounding sets its bias to 0

    def round_to_half(weights):
        spoiled = {name: 0 * value for name, value in weights.items()}
        return spoiled if 100 in list(weights.values())[-1] else weights

    monkeypatch.setattr(shipped_weights, "round_to_half", round_to_half)
    arguments = tmp_path / "model", network.state_dict(), ROW, data, cpu
    assert save_weights(*arguments, twin.eval())["precision"] == "float32"
    assert save_weights(*arguments, None)["precision"].startswith("float16")


def test_the_twin_of_a_shorter_run_must_exist_before_training(tmp_path, monkeypatch):
    twin = replace(TWIN, name="longer-twin", epochs=3)
    longer = replace(ROW, name="longer", epochs=3, validated_by=twin.name)
    checkpoint_of(tmp_path / twin.name / "seed-0", twin, RECIPE.settings() | {"epochs": 3})
    for row in (ROW, longer, twin):
        monkeypatch.setitem(EXPERIMENTS, row.name, row)
    monkeypatch.setattr(train, "load", lambda data_dir, split: tiny_dataset(64))
    monkeypatch.setattr(train, "Run", None)
    argv = [longer.name, "--device", "cpu", "--runs-dir", str(tmp_path)]
    with pytest.raises(TrainingError, match="tiny-all needs the finished run of tiny-twin: "):
        train.train_and_record(train.parse_arguments(argv))


def test_validation_on_training_images_is_refused(tmp_path, monkeypatch):
    run = tmp_path / ROW.name / "seed-0"
    monkeypatch.setitem(EXPERIMENTS, ROW.name, ROW)
    checkpoint_of(run, ROW, {"split": "'50k'"})
    monkeypatch.setattr(evaluate, "load", lambda *_: tiny_dataset())
    monkeypatch.setattr("sys.argv", ["evaluate", str(run), "--split", "validation"])
    with pytest.raises(SystemExit, match=r"seed-0 was trained on the validation images of 50k$"):
        evaluate.main()
