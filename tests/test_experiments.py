"""These tests check rows of the table of experiments, and the schedules of their recipes."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch.optim.lr_scheduler import StepLR

from mobilenetv3_cifar import MobileNetV3Cifar
from training.experiments import EXPERIMENTS, REPORT, Experiment, by_name
from training.loop.augmentation import AffineColour, Batch, Crop, CutMix, EnlargeRotate, Flip
from training.recipe import Recipe

SHORT = Experiment("short", {"size": "small"}, 2)
LONG = replace(SHORT, name="long", epochs=3)


def test_the_step_schedule_matches_listing_10():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([parameter], lr=0.001)
    scheduler = StepLR(optimizer, step_size=3, gamma=0.03)
    experiment = EXPERIMENTS["small-dropout0-epochs10"]
    for epoch in range(10):
        for step in (0, 546):
            ours = experiment.lr(epoch * 547 + step, 547)
            assert ours == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()


def test_the_cosine_schedule_falls_from_the_same_peak_to_nothing():
    experiment = EXPERIMENTS["small-dropout0-epochs10-cosine"]
    rates = [experiment.lr(step, 547) for step in range(5470)]
    assert rates[0] == 1e-3
    assert rates[2735] == pytest.approx(5e-4)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 1e-9


def test_the_linear_schedule_rises_during_warmup_and_then_falls_to_nothing():
    recipe = Recipe(schedule="linear", warmup_epochs=2)
    factors = [recipe.lr_factor(step, steps_per_epoch=2, epochs=4) for step in range(8)]
    assert factors == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 0.75, 0.5, 0.25])
    assert replace(recipe, warmup_epochs=0).lr_factor(6, 2, 4) == 0.25


def test_only_the_shorter_run_of_the_same_setting_shares_a_prefix():
    longer = EXPERIMENTS["small-dropout0.7-epochs5"]
    sharing = [name for name, row in EXPERIMENTS.items() if row.is_prefix_of(longer)]
    assert sharing == ["small-dropout0.7-epochs4"]


@dataclass(frozen=True)
class Darken:
    def __call__(self, batch: Batch) -> Batch:
        return batch._replace(images=batch.images * batch.draws.progress)


@pytest.mark.parametrize(
    "change",
    [
        {"schedule": "cosine"},
        {"schedule": "linear"},
        {"ema": 0.9},
        {"augmentations": (AffineColour(0.5, during=(0.0, 0.9)),)},
        {"augmentations": (CutMix(0.5, during=(0.1, 1.0)),)},
        {"augmentations": (Flip(), Crop(4, sizes=((0.5, 24),)))},
        {"augmentations": (Flip(), Darken())},
    ],
    ids=str,
)
def test_a_run_whose_steps_depend_on_its_length_is_no_prefix(change):
    assert SHORT.is_prefix_of(LONG)
    short, long = (replace(row, recipe=replace(REPORT, **change)) for row in (SHORT, LONG))
    assert not short.is_prefix_of(long)


def test_a_row_of_another_kind_is_no_prefix():
    assert not SHORT.is_prefix_of(replace(LONG, kind="own"))


def test_declaring_that_progress_is_ignored_adds_no_setting():
    assert repr(Flip()) == "Flip(how='random')"
    assert repr(EnlargeRotate(10.0, 64)) == "EnlargeRotate(degrees=10.0, size=64)"


def test_two_experiments_with_one_name_are_refused():
    with pytest.raises(ValueError, match="two experiments are called 'short'"):
        by_name([SHORT, LONG, replace(LONG, name="short")])


def test_a_row_without_a_size_has_the_size_of_the_network():
    row = Experiment("default", {}, 1)
    assert row.size == MobileNetV3Cifar(**row.model).config.size
