"""These tests check that a run learns, resumes bit for bit, and explains why it stops."""

import dataclasses
import random
import signal
import time

import numpy as np
import pytest
import torch

from mobilenetv3_cifar import MobileNetV3Cifar
from tests.tiny import EXPERIMENT, final_state, started, tiny_dataset, tiny_run
from training.errors import TrainingError
from training.experiments import EXPERIMENTS, Experiment
from training.loop import checkpoint
from training.loop import run as run_module
from training.loop.augmentation import AffineColour, Crop, CutMix, Cutout, Flip
from training.loop.losses import load_teacher
from training.loop.optimizers import Adam, Muon, Sgd
from training.loop.run import Run
from training.loop.validation import to_inputs
from training.recipe import Distillation, Recipe

KILLS = 4


def test_a_run_killed_at_random_moments_ends_bit_for_bit_as_one_left_alone(uninterrupted, tmp_path):
    folder, waits = tmp_path / "run", random.Random(0)
    for _ in range(KILLS):
        with started(folder):
            time.sleep(waits.uniform(0, 1))
    with started(folder) as child:
        assert child.wait() == 0, child.log.read_text()
    assert final_state(folder) == final_state(uninterrupted)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops_within_seconds(tmp_path, signum):
    folder = tmp_path / "run"
    with started(folder, epochs=1000) as child:
        child.wait_until(lambda: list(folder.glob("step-*.json")))
        child.process.send_signal(signum)
        assert child.wait() == 128 + signum
    assert checkpoint.read(folder) is not None
    assert "Traceback" not in child.log.read_text()


def test_a_short_run_learns(tmp_path):
    recipe = Recipe(schedule="cosine", batch_size=32, augmentations=(Flip(),))
    run = tiny_run(tmp_path, Experiment("learns", {"blocks": "cifar32"}, 8, recipe))
    run.train()
    first, last = run.state.history[0], run.state.history[-1]
    assert last["train_loss"] < first["train_loss"] - 0.4
    assert last["train_accuracy"] > 0.3  # chance would give 0.1


def test_a_longer_run_passes_through_the_very_end_of_the_shorter_one(uninterrupted, tmp_path):
    longer = dataclasses.replace(EXPERIMENT, name="tiny-longer", epochs=3)
    tiny_run(tmp_path / longer.name / "seed-0", longer, [EXPERIMENT]).train()
    assert final_state(tmp_path / "tiny" / "seed-0") == final_state(uninterrupted)


def test_a_kill_between_the_saves_of_two_runs_loses_neither(uninterrupted, tmp_path, monkeypatch):
    longer = dataclasses.replace(EXPERIMENT, name="tiny-longer", epochs=3)
    run = tiny_run(tmp_path / longer.name / "seed-0", longer, [EXPERIMENT])

    def killed_after(save):
        def wrapped():
            save()
            if len(run.state.history) == EXPERIMENT.epochs:
                raise KeyboardInterrupt

        return wrapped

    for name in ("save", "save_shorter_runs"):
        monkeypatch.setattr(run, name, killed_after(getattr(run, name)))
    with pytest.raises(KeyboardInterrupt):
        run.train()
    tiny_run(tmp_path / longer.name / "seed-0", longer, [EXPERIMENT]).train()
    assert final_state(tmp_path / "tiny" / "seed-0") == final_state(uninterrupted)


def test_other_seeds_give_other_networks(uninterrupted, tmp_path):
    Run(EXPERIMENT, tiny_dataset(), tmp_path, seed=1, device="cpu").train()
    assert final_state(tmp_path)[0] != final_state(uninterrupted)[0]


def test_a_second_trainer_in_the_same_folder_is_refused(tmp_path):
    folder = tmp_path / "run"
    with started(folder, epochs=1000) as child:
        child.wait_until(lambda: list(folder.glob("step-*.json")))
        with pytest.raises(TrainingError, match="another run is training"):
            tiny_run(folder).train()


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_checkpoint(
    tmp_path, monkeypatch
):
    run = tiny_run(tmp_path)
    run.train()
    before = final_state(tmp_path)
    longer = tiny_run(tmp_path, dataclasses.replace(EXPERIMENT, epochs=3))
    state = checkpoint.read(tmp_path)[1]
    with torch.no_grad():
        next(longer.learner.model.parameters()).fill_(float("nan"))
    monkeypatch.setattr(run_module, "newest", lambda *_: ({}, state))
    with pytest.raises(TrainingError, match="the loss is nan at step"):
        longer.train()
    assert final_state(tmp_path) == before


def test_each_epoch_sees_every_image_once_in_another_order(tmp_path, monkeypatch):
    run = tiny_run(tmp_path)
    seen = []

    def note(step, batch):
        seen.append(batch.numpy())
        return torch.tensor([1.0, 0.0, len(batch)])

    monkeypatch.setattr(run.learner, "step", note)
    run.train()
    first, second = np.concatenate(seen[:3]), np.concatenate(seen[3:])
    assert sorted(first) == sorted(second) == list(range(192))
    assert list(first) != list(second)


OWN = Experiment(
    "tiny-own",
    {"size": "small", "blocks": "cifar32"},
    2,
    Recipe(
        schedule="linear",
        warmup_epochs=1,
        batch_size=48,
        augmentations=(
            Flip("alternating"),
            AffineColour(0.5),
            Crop(4, sizes=((0.5, 24),)),
            Cutout(8, probability=0.5),
            CutMix(0.5),
        ),
        label_smoothing=0.1,
        ema=0.9,
        distillation=Distillation("tiny-teacher", weight=0.5, temperature=2.0),
    ),
    kind="own",
)
TEACHER = Experiment("tiny-teacher", {"size": "small", "blocks": "cifar32"}, 1)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Train the teacher of the experiment OWN, and return the folder of all runs."""
    recipe = dataclasses.replace(OWN.recipe, ema=0.0, distillation=None)
    teacher = dataclasses.replace(TEACHER, recipe=recipe)
    monkeypatch.setitem(EXPERIMENTS, teacher.name, teacher)
    tiny_run(tmp_path / teacher.name / "seed-0", teacher).train()
    return tmp_path


@pytest.mark.parametrize(
    ("optimizer", "precision"),
    [
        (Adam(1e-3), "float32"),
        (Sgd(0.05), "float32"),
        (Muon(0.02), "float32"),
        (Muon(0.02), "bfloat16"),
    ],
    ids=repr,
)
def test_any_recipe_resumes_bit_for_bit_in_the_middle_of_an_epoch(
    runs, monkeypatch, optimizer, precision
):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    changes = {"optimizer": optimizer, "precision": precision, "batch_size": 6}
    experiment = dataclasses.replace(OWN, recipe=dataclasses.replace(OWN.recipe, **changes))
    whole = tiny_run(runs / "whole" / "seed-0", experiment, images=24)
    whole.train()

    stopped = tiny_run(runs / "stopped" / "seed-0", experiment, images=24)
    step = stopped.learner.step

    def stop_after_six_steps(number, batch):
        if number == 6:
            raise KeyboardInterrupt
        sums = step(number, batch)
        if number == 5:  # the second of four steps in the second epoch
            stopped.collect(6, [sums], 0.0)
            stopped.save()
        return sums

    stopped.learner.step = stop_after_six_steps
    with pytest.raises(KeyboardInterrupt):
        stopped.train()
    assert checkpoint.read(runs / "stopped" / "seed-0")[1].step == 6
    tiny_run(runs / "stopped" / "seed-0", experiment, images=24).train()
    ours, theirs = final_state(runs / "whole" / "seed-0"), final_state(runs / "stopped" / "seed-0")
    assert ours[0] == theirs[0]
    assert ours[1][-1]["valid_loss"] == theirs[1][-1]["valid_loss"]


def test_the_result_of_a_run_with_averaging_is_the_average_with_its_own_statistics(runs):
    run = tiny_run(runs / "whole" / "seed-0", OWN)
    run.train()
    tensors = checkpoint.read(runs / "whole" / "seed-0")[0]
    final, last = checkpoint.final_weights(tensors), checkpoint.part_of(tensors, "model")
    assert final.keys() == last.keys()
    assert not torch.equal(final["features.last.weight"], last["features.last.weight"])
    norm = "features.stem_norm.running_mean"
    last_steps = run.batches(1, run.learner.steps_per_epoch)
    every = [run.learner.draws(step, batch, slice(None)) for step, batch in last_steps]
    means = [
        torch.nn.functional.conv2d(
            run.learner.augmented(draws)[0], final["features.stem.weight"], padding=1
        ).mean(dim=(0, 2, 3))
        for draws in every
    ]
    torch.testing.assert_close(final[norm], torch.stack(means).mean(0), atol=1e-4, rtol=0)


def test_a_teachers_own_run_comes_before_the_shipped_variant(tmp_path):
    teacher, run = Distillation("small-cifar32", 0.5, 2.0), tmp_path / "small-cifar32" / "seed-0"
    config = MobileNetV3Cifar.from_pretrained("small-cifar32").config
    run.mkdir(parents=True)
    assert load_teacher(teacher, tmp_path, config)  # of the variant: the run has no checkpoint
    (run / "step-000001.json").touch()
    with pytest.raises(TrainingError, match=r"no undamaged checkpoint in .*small-cifar32/seed-0"):
        load_teacher(teacher, tmp_path, config)


def test_a_teacher_that_is_nowhere_is_named(tmp_path):
    with pytest.raises(TrainingError, match=r"tiny-teacher/seed-0 is not the folder of a run"):
        tiny_run(tmp_path / "own" / "seed-0", OWN)


def test_distillation_adds_the_divergence_from_the_teachers_predictions(runs):
    run = tiny_run(runs / "own" / "seed-0", OWN)
    learner, labels = run.learner, run.learner.labels[:8]
    inputs = to_inputs(learner.images[:8], learner.bare_model)
    teacher_logits, other = learner.loss.teacher(inputs), torch.randn(8, 10)
    for logits in (teacher_logits, other):
        plain = torch.nn.functional.cross_entropy(
            logits, labels, label_smoothing=0.1, reduction="sum"
        )
        student, teacher = (logits / 2).log_softmax(1), (teacher_logits / 2).log_softmax(1)
        divergence = (teacher.exp() * (teacher - student)).sum()
        expected = 0.5 * plain + 0.5 * 4 * divergence
        ours = learner.loss(logits, labels, inputs)
        assert ours.item() == pytest.approx(expected.item(), rel=1e-4)
