"""Make untrained networks for tests of predictions and activation maps."""

import numpy as np
import torch
from torch.optim.swa_utils import update_bn

from mobilenetv3_cifar import MobileNetV3Cifar
from training.loop.validation import to_inputs


def untrained(images: np.ndarray, **settings) -> MobileNetV3Cifar:
    """Return an untrained network, in evaluation mode, whose outputs differ from image to image.

    Its batch-norm statistics are computed from `images`.
    """
    torch.manual_seed(0)
    network = MobileNetV3Cifar(**settings)
    for block in network.features.blocks:
        if settings.get("blocks") == "cifar32":
            # In new residual blocks, this weight is 0, so only the shortcut would have an effect.
            torch.nn.init.uniform_(block.project_norm.weight, 0.5, 1.5)
    network.eval()
    update_bn([to_inputs(torch.from_numpy(images), network)], network)
    inputs = torch.stack([network.transform()(image) for image in images])
    with torch.no_grad():
        logits = network(inputs)
        network.head[-1].weight.mul_(2 / (logits - logits.mean(dim=0)).std())
    return network
