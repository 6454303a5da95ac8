"""These GPU tests check that runs resume, gradients are right and no step waits for the GPU.

Only a float32 run must have bit for bit the same result if it is interrupted and resumed. In
bfloat16, each process measures anew which convolution algorithms are fastest, so the results of two
processes differ slightly.
"""

import dataclasses

import pytest
import torch
from accelerate.state import AcceleratorState

from benchmarks.training_speed import check_gradients
from tests.tiny import EXPERIMENT, final_state, tiny_dataset, tiny_run
from training.experiments import GPU32, Experiment, cifar32_net
from training.loop import checkpoint
from training.loop.augmentation import Crop
from training.loop.devices import make_accelerator
from training.loop.learner import Learner
from training.loop.validation import split_logits
from training.recipe import Distillation

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
OWN = Experiment("own", cifar32_net("small"), 2, dataclasses.replace(GPU32, batch_size=64))


@pytest.fixture(autouse=True)
def separate_accelerators():
    """Let each test choose a device, and restore the settings of PyTorch that the device changes.

    Accelerate remembers the first device of a process, and refuses any other device.
    """
    flags = [(torch.backends.cuda.matmul, "allow_tf32")]
    flags += [(torch.backends.cudnn, name) for name in ("allow_tf32", "deterministic", "benchmark")]
    before = [getattr(*flag) for flag in flags]
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)
    for flag, value in zip(flags, before, strict=True):
        setattr(*flag, value)


def interrupted_run(folder, experiment, monkeypatch):
    """Save and interrupt a run early in its second epoch. Return a new `Run` that finished it."""
    run = tiny_run(folder, experiment, device="cuda")
    last, step = run.learner.steps_per_epoch, run.learner.step

    def step_or_stop(number, batch):
        if number > last:
            raise KeyboardInterrupt
        sums = step(number, batch)
        if number == last:
            run.collect(number + 1, [sums], 0.0)
            run.save()
        return sums

    monkeypatch.setattr(run.learner, "step", step_or_stop)
    with pytest.raises(KeyboardInterrupt):
        run.train()
    assert checkpoint.read(folder)[1].step == last + 1
    run = tiny_run(folder, experiment, device="cuda")
    run.train()
    return run


def test_a_float32_run_repeats_and_resumes_bit_for_bit(tmp_path, monkeypatch):
    tiny_run(tmp_path / "whole", device="cuda").train()
    interrupted_run(tmp_path / "parts", EXPERIMENT, monkeypatch)
    assert final_state(tmp_path / "whole") == final_state(tmp_path / "parts")


def test_a_compiled_bfloat16_run_trains_and_resumes(tmp_path, monkeypatch):
    recipe = dataclasses.replace(OWN.recipe, batch_size=32)  # 5 steps remain after the interruption
    run = interrupted_run(tmp_path, dataclasses.replace(OWN, recipe=recipe), monkeypatch)
    assert len(run.learner.fast_update.graphs) == 1
    assert len(run.state.history) == 2
    assert run.state.history[1]["train_loss"] < 3


@pytest.mark.parametrize("experiment", [EXPERIMENT, OWN], ids=["report", "own"])
def test_a_step_neither_copies_from_the_host_nor_waits(tmp_path, experiment):
    longer = dataclasses.replace(experiment, epochs=100)  # so that all augmentations are active
    learner: Learner = tiny_run(tmp_path, longer, device="cuda").learner
    batch = torch.arange(64, device="cuda")
    for step in range(5):  # the first steps may wait: they compile and record a CUDA graph
        learner.step(step, batch)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(5, 10):
            learner.step(step, batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("sizes", [(), ((0.6, 24),)], ids=["one-size", "two-sizes"])
def test_replayed_steps_give_nearly_the_same_losses(tmp_path, sizes):
    """Two learners take the same steps and must have nearly equal losses.

    Only the first learner replays a recorded CUDA graph. The learning rate changes at each step, so
    a replay with the recorded rate would be noticed. With two crop sizes, each is used four times.
    """
    every = tuple(Crop(4, sizes) if each == Crop(4) else each for each in GPU32.augmentations)
    recipe = dataclasses.replace(OWN.recipe, augmentations=every)
    experiment = dataclasses.replace(OWN, recipe=recipe)
    learners = [tiny_run(tmp_path, experiment, device="cuda").learner for _ in "ab"]
    learners[1].fast_update = learners[1].fast_update.function
    batch = torch.arange(64, device="cuda")
    losses = [[float(each.step(step, batch)[0]) for step in range(8)] for each in learners]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert losses[0][-1] < losses[0][0]
    assert len(learners[0].fast_update.graphs) == 1 + len(sizes)


def test_distillation_trains_with_a_compiled_teacher(tmp_path):
    recipe = dataclasses.replace(OWN.recipe, distillation=Distillation("small-cifar32", 0.7, 2.0))
    learner = tiny_run(tmp_path, dataclasses.replace(OWN, recipe=recipe), device="cuda").learner
    batch = torch.arange(64, device="cuda")
    for step in range(6):  # the fourth step records a CUDA graph, which includes the teacher
        loss_sum, _, count = learner.step(step, batch)
        assert 0 < loss_sum / count < 10
    assert learner.fast_update.graphs


@pytest.mark.parametrize("experiment", [EXPERIMENT, OWN], ids=["report", "own"])
def test_validation_agrees_with_the_cpu(tmp_path, experiment):
    images = tiny_dataset().validation
    model = tiny_run(tmp_path, experiment, device="cuda").learner.result
    probabilities = split_logits(model, images).softmax(1)
    expected = split_logits(model.cpu(), images).softmax(1)
    torch.testing.assert_close(probabilities, expected, rtol=0, atol=1e-5)


def test_gradients_of_depthwise_convolutions_are_right():
    make_accelerator("cuda")  # turns off TF32
    check_gradients("cuda")
