"""These tests replay training steps with a CPU stand-in for CUDA graphs."""

import dataclasses

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.tiny import tiny_run
from training.experiments import CPU32, Experiment, cifar32_net
from training.loop.augmentation import AffineColour, Crop, CutMix
from training.loop.cuda_graph import Replayed
from training.recipe import Distillation

RECIPE = dataclasses.replace(
    CPU32,
    batch_size=64,
    augmentations=(AffineColour(0.5), Crop(4, sizes=((0.5, 24),)), CutMix(0.5)),
    distillation=Distillation("small-cifar32", weight=0.7, temperature=2.0),
)


class FakeGraph(TorchDispatchMode):
    """A list of tensor operations. It records them as a context manager, like torch.cuda.graph.

    Unlike a CUDA graph, it also runs the operations that it records, so its first replay does not.
    """

    def __init__(self):
        super().__init__()
        self.operations, self.ran = [], False

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        output = function(*arguments, **(keywords or {}))
        self.operations.append((function, arguments, keywords or {}, output))
        return output

    @torch.no_grad()
    def replay(self):
        for function, arguments, keywords, output in self.operations if self.ran else ():
            again = function(*arguments, **keywords)
            for old, new in zip(tree_leaves(output), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor):
                    old.copy_(new)
        self.ran = True


def test_each_crop_size_has_its_own_graph_whose_replays_equal_real_steps(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.CUDAGraph", FakeGraph)
    monkeypatch.setattr("torch.cuda.graph", lambda graph, memory=None: graph)
    monkeypatch.setattr("torch.cuda.graph_pool_handle", lambda: None)
    row = Experiment("own", cifar32_net("small") | {"dropout": 0.2}, 4, RECIPE)
    inputs, results = [], []
    for replaying in (False, True):
        learner = tiny_run(tmp_path, row).learner
        for group, peak in zip(learner.optimizer.param_groups, learner.peak_rates, strict=True):
            group["lr"] = torch.tensor(peak)  # as on a GPU
        if replaying:
            learner.network.register_forward_pre_hook(lambda _, given: inputs.extend(given))
            learner.fast_update = Replayed(learner.update)
        sums = [learner.step(step, torch.arange(8) + step) for step in range(12)]
        results.append((sums, learner.model.state_dict()))
    torch.testing.assert_close(*results, rtol=0, atol=0)
    # With each crop size, the network runs three times and is then recorded.
    assert [each.shape[2] for each in inputs] == [24] * 4 + [32] * 4
