"""The exponential moving average of a network's weights, and its batch-norm statistics."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from mobilenetv3_cifar import MobileNetV3Cifar
from training.loop.validation import to_inputs


@torch.no_grad()
def update(average: nn.Module, model: nn.Module, step: int, decay: float) -> None:
    """Move every floating-point tensor of `average` towards the model's.

    Early steps weigh more, so that the initial weights are forgotten: the decay is at most
    (1 + step) / (10 + step), as in TensorFlow's ExponentialMovingAverage.
    """
    weight = 1 - min(decay, (1 + step) / (10 + step))
    mine, theirs = average.state_dict().values(), model.state_dict().values()
    pairs = [pair for pair in zip(mine, theirs, strict=True) if pair[0].is_floating_point()]
    torch._foreach_lerp_([pair[0] for pair in pairs], [pair[1] for pair in pairs], weight)


@torch.no_grad()
def reestimate_batch_norm(average: MobileNetV3Cifar, batches: Iterable[Tensor]) -> None:
    """Replace the running statistics by the mean over batches of uint8 images (N, h, h, 3).

    The average of the weights never saw an image: its own statistics differ from the average of
    those that the weights had on the way (Izmailov et al. 2018).
    """
    norms = [
        part for part in average.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)
    ]
    momenta = [part.momentum for part in norms]
    for part in norms:
        part.reset_running_stats()
        part.momentum = None  # the plain mean over all batches
        part.train()
    for images in batches:
        average(to_inputs(images, average))
    for part, momentum in zip(norms, momenta, strict=True):
        part.momentum = momentum
        part.eval()
