"""These tests check which experiments a learner accepts."""

import dataclasses

import pytest
import torch

from tests.tiny import EXPERIMENT, RECIPE, tiny_run
from training.errors import TrainingError
from training.experiments import CPU32, Experiment
from training.loop.augmentation import Crop


@pytest.mark.parametrize(
    ("image_size", "augmentations", "trained"),
    [
        (64, CPU32.augmentations, 32),
        (32, RECIPE.augmentations, 64),
        (32, (Crop(4, sizes=((1.0, 24),)),), 24),
    ],
)
def test_training_must_end_with_images_of_the_size_of_validation(
    tmp_path, image_size, augmentations, trained
):
    recipe = dataclasses.replace(RECIPE, augmentations=augmentations)
    row = dataclasses.replace(EXPERIMENT, model={"image_size": image_size}, recipe=recipe)
    what = rf"tiny end with {trained}x{trained} pixels, .* validates with image_size {image_size}$"
    with pytest.raises(TrainingError, match=what):
        tiny_run(tmp_path, row)


def test_a_trial_of_one_step_is_not_refused_because_its_crops_are_still_small(tmp_path):
    assert CPU32.augmentations[2].sizes
    row = Experiment("own", {"blocks": "cifar32"}, 1, CPU32)
    assert tiny_run(tmp_path, row, images=64).learner.steps_per_epoch == 1


def test_a_network_with_the_papers_blocks_trains(tmp_path):
    row = Experiment("paper", {"blocks": "paper", "image_size": 64}, 1, RECIPE)
    learner = tiny_run(tmp_path, row).learner
    before = [parameter.clone() for parameter in learner.model.parameters()]
    sums = learner.step(0, torch.arange(16))
    assert 1 < sums[0] / 16 < 4
    after = list(learner.model.parameters())
    assert not any(torch.equal(*each) for each in zip(before, after, strict=True))
