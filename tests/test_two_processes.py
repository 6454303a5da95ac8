"""These tests compare training in one CPU process with training in two CPU processes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mobilenetv3_cifar import MobileNetV3Cifar
from tests.tiny import EXPERIMENT, tiny_dataset
from tests.two_processes import STEPS
from training.loop import checkpoint
from training.loop.validation import correct_and_loss, split_logits

ROOT = Path(__file__).parent.parent
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def results(folder, *launcher):
    """Run tests.two_processes. Return the tensors that it saves, and its output on stderr."""
    folder.mkdir(parents=True)
    command = [sys.executable, *launcher, "-m", "tests.two_processes", str(folder / "results")]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return load_file(folder / "results"), done.stderr


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def outcomes(root):
    return results(root / "one"), results(root / "two", *TORCHRUN)


@pytest.fixture(scope="module")
def both(outcomes):
    return [tensors for tensors, _ in outcomes]


def test_two_processes_give_the_same_gradients_as_one(both):
    one, two = both
    names = [name for name in one if name.startswith("gradient.")]
    assert len(names) > 100
    for name in names:
        torch.testing.assert_close(two[name], one[name], atol=1e-5, rtol=0)


def test_the_loss_falls_alike_and_counts_every_image_once(both):
    one, two = (
        torch.stack([results[f"loss.{step}"] for step in range(STEPS)]) for results in both
    )  # shape (STEPS, 3); columns: loss sum, correct predictions, number of images
    assert one[-1, 0] < one[0, 0]
    torch.testing.assert_close(two[:, 0], one[:, 0], atol=0, rtol=1e-3)
    assert two[:, 2].tolist() == one[:, 2].tolist() == [56.0] * STEPS


def test_two_processes_train_save_and_validate_every_image_once(both, root):
    data = tiny_dataset()
    for results in both:
        for split, images in (("train", len(data.train)), ("valid", len(data.validation))):
            correct = results[f"history.{split}_accuracy"] * images
            torch.testing.assert_close(correct, correct.round(), atol=1e-9, rtol=0)
            losses = results[f"history.{split}_loss"]
            assert losses.isfinite().all()
            assert len(losses) == EXPERIMENT.epochs
    assert both[1]["history.train_loss"][-1] < both[1]["history.train_loss"][0]
    _, state, settings, damaged = checkpoint.read(root / "two" / "whole")
    assert (state.step, settings["processes"], damaged) == (6, 2, [])
    assert [row["train_loss"] for row in state.history] == both[1]["history.train_loss"].tolist()


def test_both_processes_validate_the_network_that_is_saved(both, root):
    """Each process has its own batch-norm statistics. Validation must use those of process 0."""
    model = MobileNetV3Cifar(**EXPERIMENT.model)
    tensors = checkpoint.read(root / "two" / "whole")[0]
    model.load_state_dict(checkpoint.final_weights(tensors))
    validation = tiny_dataset().validation
    _, loss_sum = correct_and_loss(split_logits(model, validation), validation.labels)
    loss = both[1]["history.valid_loss"][-1].item()
    assert loss == pytest.approx(loss_sum / len(validation), rel=1e-5)


def test_one_process_prints_each_epoch(outcomes):
    for _, output in outcomes:
        assert output.count("valid_loss") == EXPERIMENT.epochs


def test_different_checkpoints_or_teachers_stop_both_processes(outcomes):
    what = "the processes found different checkpoints or teachers for"
    for rank, folder in ((0, "run"), (1, "empty"), (0, "taught"), (1, "taught")):
        assert re.search(rf"process {rank}: {what} .*{folder}: all", outcomes[1][1])
