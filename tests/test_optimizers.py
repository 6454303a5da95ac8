"""These tests check optimizer steps and checkpoints, and the grouping of parameters by role."""

from typing import get_args

import pytest
import torch
from torch import nn

from mobilenetv3_cifar import MobileNetV3Cifar
from training.loop import checkpoint
from training.loop.optimizers import (
    NEWTON_SCHULZ,
    Adam,
    Muon,
    OptimizerRecipe,
    Sgd,
    orthogonalize,
    parameters_by_role,
)

OPTIMIZERS = {"adam": Adam(1e-3), "sgd": Sgd(0.1), "muon": Muon(0.05)}
assert {type(each) for each in OPTIMIZERS.values()} == {*get_args(OptimizerRecipe)}


def small():
    torch.manual_seed(0)
    return MobileNetV3Cifar(blocks="cifar32").to(memory_format=torch.channels_last)


def one_step(model, optimizer):
    torch.manual_seed(1)
    loss = model(torch.randn(4, 3, 32, 32)).square().sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def test_every_parameter_has_one_role():
    model = small()
    roles = parameters_by_role(model)
    names = {parameter: name for name, parameter in model.named_parameters()}
    by_role = {role: [names[each] for each in parameters] for role, parameters in roles.items()}
    assert sorted(name for each in by_role.values() for name in each) == sorted(names.values())
    assert all(parameter.shape[2:] == (1, 1) for parameter in roles["pointwise"])
    assert "features.last.weight" in by_role["pointwise"]
    assert {"features.stem.weight", "head.1.weight"} <= set(by_role["decayed"])
    assert any("se.squeeze.weight" in name for name in by_role["decayed"])
    kinds = ("depthwise", "norm", "bias")
    assert all(any(kind in name for kind in kinds) for name in by_role["undecayed"])


def plain_newton_schulz(matrix, iterations):
    a, b, c = NEWTON_SCHULZ
    x = matrix / matrix.norm()
    x = x.T if x.shape[0] > x.shape[1] else x
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def test_batches_and_padding_do_not_change_orthogonalization():
    shapes = [(16, 72), (72, 24), (24, 96), (40, 240), (5, 5), (576, 96)]
    matrices = [torch.randn(shape) for shape in shapes]
    for matrix, result in zip(matrices, orthogonalize(matrices, 5), strict=True):
        torch.testing.assert_close(result, plain_newton_schulz(matrix, 5), atol=1e-4, rtol=0)
        singular = torch.linalg.svdvals(result)
        assert singular.min() > 0.3
        assert singular.max() < 1.3


def test_muon_takes_the_step_of_its_definition():
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module("conv", nn.Conv2d(6, 4, 1, bias=False))
    recipe = Muon(0.1, momentum=0.9, weight_decay=0.01)
    optimizer = recipe.build(model)
    weight = model.conv.weight.detach().clone()
    momentum = torch.zeros(4, 6)
    for step in range(3):
        gradient = torch.randn(4, 6, generator=torch.Generator().manual_seed(step))
        model.conv.weight.grad = gradient.view(4, 6, 1, 1)
        optimizer.step()
        momentum = 0.9 * momentum + gradient
        update = plain_newton_schulz(gradient + 0.9 * momentum, 3)
        weight = weight * (1 - 0.1 * 0.01) - 0.1 * update.view_as(weight)
        torch.testing.assert_close(model.conv.weight.detach(), weight, atol=1e-5, rtol=0)


def test_sgd_is_pytorchs_with_nesterov_momentum():
    recipe = Sgd(0.1, momentum=0.8, weight_decay=0.05)
    ours, theirs = nn.Linear(5, 3, bias=False), nn.Linear(5, 3, bias=False)
    theirs.load_state_dict(ours.state_dict())
    optimizers = [
        recipe.build(ours),
        torch.optim.SGD(theirs.parameters(), 0.1, momentum=0.8, weight_decay=0.05, nesterov=True),
    ]
    for _ in range(4):
        ours.weight.grad = torch.randn(3, 5)
        theirs.weight.grad = ours.weight.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
        torch.testing.assert_close(ours.weight, theirs.weight)


@pytest.mark.parametrize("name", ["sgd", "muon"])
def test_weight_decay_spares_depthwise_kernels_norms_and_biases(name):
    model = small()
    optimizer = OPTIMIZERS[name].build(model)
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    changed = {key for key, value in model.named_parameters() if not value.equal(before[key])}
    roles = parameters_by_role(model)
    names = {parameter: key for key, parameter in model.named_parameters()}
    decayed = {names[parameter] for role in ("pointwise", "decayed") for parameter in roles[role]}
    zero = {key for key in decayed if not before[key].any()}
    assert changed == decayed - zero


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_checkpoint_restores_any_optimizer_by_parameter_name(name):
    model = small()
    optimizer = OPTIMIZERS[name].build(model)
    one_step(model, optimizer)
    tensors = checkpoint.pack(model, optimizer)
    names = {key.rsplit(".", 1)[0] for key in tensors if key.startswith("optimizer.")}
    assert names == {f"optimizer.{key}" for key, _ in model.named_parameters()}

    other = small()
    resumed = OPTIMIZERS[name].build(other)
    checkpoint.unpack(tensors, other, resumed)
    for each in ((model, optimizer), (other, resumed)):
        one_step(*each)
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_optimizer_groups_in_another_order_than_the_model_are_restored():
    model, other = nn.Linear(3, 2), nn.Linear(3, 2)

    def build(net):
        return torch.optim.Adam([{"params": [net.bias]}, {"params": [net.weight]}])

    optimizer = build(model)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    resumed = build(other)
    checkpoint.unpack(checkpoint.pack(model, optimizer), other, resumed)
    for parameter, twin in zip(model.parameters(), other.parameters(), strict=True):
        mine, theirs = optimizer.state[parameter], resumed.state[twin]
        assert all(torch.equal(mine[slot], theirs[slot]) for slot in mine)


def test_state_of_an_unknown_parameter_is_refused():
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    tensors = checkpoint.pack(model, optimizer) | {"optimizer.other.momentum_buffer": torch.ones(2)}
    with pytest.raises(AttributeError, match="has no attribute `other`"):
        checkpoint.unpack(tensors, model, optimizer)
