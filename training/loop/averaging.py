"""The exponential moving average of a network's weights, and its batch-norm statistics."""

import copy

import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn

from mobilenetv3_cifar import MobileNetV3Cifar
from training.loop.validation import to_inputs

BATCH_SIZE = 500


class Average:
    """A moving average of all floating-point tensors, including batch-norm statistics."""

    def __init__(self, model: MobileNetV3Cifar, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.mine, self.theirs = (
            [tensor for tensor in each.state_dict().values() if tensor.is_floating_point()]
            for each in (self.model, model)
        )

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the model: by more in early steps, so that initial weights are forgotten."""
        # As in TensorFlow's ExponentialMovingAverage.
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.mine, self.theirs, weight)


def reestimate_batch_norm(model: MobileNetV3Cifar, images: Tensor) -> None:
    """Replace the running statistics by the mean over batches of uint8 images (N, h, h, 3).

    Statistics averaged over training do not fit the averaged weights, which were never used in a
    forward pass (Izmailov et al. 2018).
    """
    update_bn((to_inputs(batch, model) for batch in images.split(BATCH_SIZE)), model)
