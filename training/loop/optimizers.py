"""Each optimizer recipe is a frozen dataclass of settings. Its method `build` makes the optimizer.

Weight decay never applies to depthwise kernels, batch norm or biases. These parameters are few, and
the batch norm after a depthwise convolution would cancel the decay of its kernel.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Parameters = list[nn.Parameter]
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Jordan et al. 2024, https://kellerjordan.github.io


def parameters_by_role(model: nn.Module) -> dict[str, Parameters]:
    """Sort the parameters of `model` by role.

    1x1 kernels outside the head are "pointwise". All other weights of linear layers and ungrouped
    convolutions are "decayed". Depthwise kernels, batch norm and biases are "undecayed".
    """
    roles: dict[str, Parameters] = {"pointwise": [], "decayed": [], "undecayed": []}
    for name, parameter in model.named_parameters():
        role = "decayed"
        if parameter.ndim == 1 or parameter.shape[1] == 1:  # a depthwise kernel is (C, 1, K, K)
            role = "undecayed"
        elif parameter.shape[2:] == (1, 1) and not name.startswith("head."):
            role = "pointwise"
        roles[role].append(parameter)
    return roles


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba 2015) as in the student report: without weight decay."""

    lr: float

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), lr=self.lr, fused=True)


@dataclass(frozen=True)
class Sgd:
    """Stochastic gradient descent with Nesterov momentum."""

    lr: float
    momentum: float = 0.9
    weight_decay: float = 5e-5

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        roles = parameters_by_role(model)
        groups = self.groups(roles["pointwise"] + roles["decayed"], roles["undecayed"])
        return MuonWithSgd(groups, defaults={})

    def groups(self, decayed: Parameters, undecayed: Parameters) -> list[dict[str, Any]]:
        common = {"lr": self.lr, "momentum": self.momentum}
        return [
            {"params": decayed, "weight_decay": self.weight_decay} | common,
            {"params": undecayed, "weight_decay": 0.0} | common,
        ]


@dataclass(frozen=True)
class Muon:
    """Muon (Jordan et al. 2024) for the 1x1 kernels outside the head, SGD for all other parameters.

    torch.optim.Muon is not used, because it accepts no convolution kernels, and orthogonalises
    updates one by one instead of in batches. Weight decay is decoupled: every step multiplies the
    1x1 kernels by 1 - lr * weight_decay.
    """

    lr: float
    momentum: float = 0.9
    weight_decay: float = 2e-3
    iterations: int = 3
    rest: Sgd = field(default_factory=lambda: Sgd(0.1))

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        roles = parameters_by_role(model)
        muon = {name: value for name, value in vars(self).items() if name != "rest"}
        rest = self.rest.groups(roles["decayed"], roles["undecayed"])
        return MuonWithSgd([{"params": roles["pointwise"]} | muon, *rest], defaults={})


OptimizerRecipe = Adam | Sgd | Muon  # `lr` is the highest learning rate of the schedule


class MuonWithSgd(torch.optim.Optimizer):
    """Apply Muon to parameter groups with the key `iterations`, and SGD to all other groups.

    Muon and SGD both use Nesterov momentum. A learning rate may be a tensor, so that a CUDA graph
    of the step can be replayed with a new learning rate.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                self.update(parameters, group)

    def update(self, parameters: list[Any], group: dict[str, Any]) -> None:
        gradients = [parameter.grad for parameter in parameters]
        for parameter in parameters:
            if "momentum_buffer" not in self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        momenta = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
        muon = "iterations" in group
        if not muon:
            gradients = list(torch._foreach_add(gradients, parameters, alpha=group["weight_decay"]))
        torch._foreach_mul_(momenta, group["momentum"])
        torch._foreach_add_(momenta, gradients)
        updates = list(torch._foreach_add(gradients, momenta, alpha=group["momentum"]))
        if muon:
            matrices = orthogonalize([each.flatten(1) for each in updates], group["iterations"])
            updates = [
                matrix.view_as(parameter) * math.sqrt(max(1, len(matrix) / matrix[0].numel()))
                for parameter, matrix in zip(parameters, matrices, strict=True)
            ]
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_mul_(updates, -group["lr"])
        torch._foreach_add_(parameters, updates)


def orthogonalize(matrices: list[Tensor], iterations: int) -> list[Tensor]:
    """Approximate, for each matrix, the nearest matrix whose singular values are all 1.

    Matrices of similar shape are padded with zeros and processed as one batch. The zeros do not
    change the result. On a GPU, the computation uses bfloat16, as in the code of Muon's authors.
    """
    wide = [matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T for matrix in matrices]
    stacks: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, matrix in enumerate(wide):
        stacks[tuple(1 << (side - 1).bit_length() for side in matrix.shape)].append(index)
    results = list(matrices)
    for shape, indices in stacks.items():
        stack = matrices[0].new_zeros(len(indices), *shape)
        for padded, index in zip(stack, indices, strict=True):
            rows, columns = wide[index].shape
            padded[:rows, :columns] = wide[index]
        for padded, index in zip(newton_schulz(stack, iterations), indices, strict=True):
            rows, columns = wide[index].shape
            result = padded[:rows, :columns]
            results[index] = result if wide[index] is matrices[index] else result.T
    return results


def newton_schulz(stack: Tensor, iterations: int) -> Tensor:
    """Apply the Muon authors' Newton-Schulz iteration to N matrices (N, m, n) with m <= n."""
    a, b, c = NEWTON_SCHULZ
    x = stack.bfloat16() if stack.is_cuda else stack
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.to(stack.dtype)
