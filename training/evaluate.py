"""What a trained network is worth: counts of correct over total, and scikit-learn's metrics."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.preprocessing import resize, to_input


def compute_logits(model: MobileNetV3Cifar, images: np.ndarray, batch_size: int = 64) -> Tensor:
    """uint8 (N, 32, 32, 3) -> float32 (N, classes) on the CPU; `model` must be in eval mode."""
    device, size = next(model.parameters()).device, model.config.image_size
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            inputs = to_input([resize(Image.fromarray(image), size) for image in batch])
            inputs = inputs.contiguous(memory_format=torch.channels_last)
            parts.append(model(inputs.to(device)).float().cpu())
    return torch.cat(parts)


def correct_and_loss(logits: Tensor, labels: np.ndarray) -> tuple[float, float]:
    """(number of correct predictions, sum of cross entropies) of logits (N, C) and labels (N,)."""
    truth = torch.from_numpy(labels).long()
    loss = nn.functional.cross_entropy(logits, truth, reduction="sum")
    return float((logits.argmax(1) == truth).sum()), float(loss)
