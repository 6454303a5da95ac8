"""These tests check that the training benchmark finds wrong gradients and times whole steps."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchmarks import training_speed
from benchmarks.training_speed import (
    BATCHES,
    STEPS,
    TOLERANCE,
    check_gradients,
    depthwise_shapes,
    gradient_error,
    make_learner,
    measure,
    seconds_per_step,
)
from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.architecture import LAYOUTS
from training.errors import TrainingError
from training.loop import depthwise
from training.loop.devices import make_accelerator
from training.loop.optimizers import MuonWithSgd

TIMED = [
    (device, pixels, batch)
    for device, sizes in BATCHES.items()
    for pixels, batches in sizes.items()
    for batch in batches
]
SHAPE = (24, 5, 2, 8)  # its weight gradient is computed by `depthwise.weight_gradient`


@pytest.fixture(params=[0.9, float("nan")])
def factor(request, monkeypatch):
    """Multiply weight gradients by a factor, so that they are wrong."""
    right, factor = depthwise.weight_gradient, request.param
    monkeypatch.setattr(depthwise, "weight_gradient", lambda *values: factor * right(*values))
    return factor


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_right_gradients_are_within_the_tolerance(dtype):
    assert 0 < gradient_error(SHAPE, dtype, "cpu") < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_wrong_gradients_are_not(dtype, factor):
    expected = pytest.approx(1 - factor, abs=0.01, nan_ok=True)
    assert gradient_error(SHAPE, dtype, "cpu") == expected


@pytest.mark.usefixtures("factor")
def test_wrong_gradients_end_the_benchmark_with_an_error(monkeypatch):
    monkeypatch.setattr(training_speed, "depthwise_shapes", lambda: [SHAPE])
    monkeypatch.setattr("sys.argv", ["training_speed", "--device", "cpu"])
    with pytest.raises(SystemExit, match=r"error: wrong gradients .*\(24, 5, 2, 8, torch"):
        training_speed.main()


def test_gradients_on_a_gpu_without_triton_are_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TrainingError, match="needs Triton: pip install triton"):
        check_gradients("cuda")


def test_the_gradients_of_every_depthwise_convolution_are_checked():
    shapes = set()

    def note(module, inputs):
        (images,) = inputs
        shapes.add((module.groups, module.kernel_size[0], module.stride[0], images.shape[2]))

    for size, blocks in LAYOUTS:
        model = MobileNetV3Cifar(size=size, blocks=blocks).eval()
        for module in model.modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                module.register_forward_pre_hook(note)
        with torch.inference_mode():
            for pixels in (32, 224):
                model(torch.zeros(1, 3, pixels, pixels))
    assert depthwise_shapes() == sorted(shapes)


@pytest.mark.parametrize(("device", "pixels", "batch"), TIMED)
def test_timed_steps_use_all_augmentations_and_full_crops(monkeypatch, device, pixels, batch):
    monkeypatch.setattr(training_speed, "make_accelerator", lambda *_: make_accelerator("cpu"))
    learner, steps = make_learner("small", pixels, batch, device), []
    monkeypatch.setattr(learner, "step", lambda step, indices: steps.append(step))
    seconds_per_step(learner, batch, STEPS[device])
    assert len(steps) == STEPS[device]
    for step in steps:
        draws = learner.draws(step, torch.arange(2), slice(None))
        assert learner.augmented(draws)[0].shape[2] == pixels
        for each in learner.recipe.augmentations:
            begin, end = getattr(each, "during", (0.0, 1.0))
            assert begin <= draws.progress < end


@pytest.mark.parametrize("pixels", [32, 224])
def test_both_image_sizes_are_timed_eager_and_compiled_on_a_gpu(monkeypatch, pixels):
    rows = []
    gpu = SimpleNamespace(device=SimpleNamespace(type="cuda"))
    monkeypatch.setattr(training_speed, "make_accelerator", lambda device: gpu)
    monkeypatch.setattr(training_speed, "device_name", lambda device: "a GPU")
    monkeypatch.setattr(training_speed, "check_gradients", lambda device: "right")
    monkeypatch.setattr(training_speed, "measure", lambda *row: rows.append(row) or row)
    monkeypatch.setattr("sys.argv", ["training_speed", "--device", "cuda", "--pixels", str(pixels)])
    training_speed.main()
    assert {row[1] for row in rows} == {pixels}
    assert {(row[0], row[3]) for row in rows} == {
        (size, compiled) for size in ("small", "large") for compiled in (False, True)
    }


@pytest.mark.parametrize("compiled", [False, True])
def test_the_optimizers_step_counts_as_outside_the_network(monkeypatch, compiled):
    compiled_models, updated = [], []
    monkeypatch.setattr(torch, "compile", lambda model: compiled_models.append(model) or model)
    step = MuonWithSgd.step

    def count(self, *arguments):
        groups = self.param_groups
        updated.append(all(p.grad is not None for group in groups for p in group["params"]))
        return step(self, *arguments)

    monkeypatch.setattr(MuonWithSgd, "step", count)
    measure("small", 32, 8, compiled, "cpu")
    assert updated == [True] * 12  # 2 steps to warm up, 5 steps, and 5 steps without the network
    assert len(compiled_models) == compiled
