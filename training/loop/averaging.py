"""The exponential moving average of a network's weights."""

import copy

import torch

from mobilenetv3_cifar import MobileNetV3Cifar


class Average:
    """A moving average of a model's floating-point tensors, including batch-norm statistics."""

    def __init__(self, model: MobileNetV3Cifar, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.mine, self.theirs = (
            [tensor for tensor in each.state_dict().values() if tensor.is_floating_point()]
            for each in (self.model, model)
        )

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the model.

        The first steps move it more, so that it forgets the initial weights.
        """
        # As in TensorFlow's ExponentialMovingAverage.
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.mine, self.theirs, weight)
