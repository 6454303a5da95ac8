"""Logits, loss and accuracy of a model over a dataset split, in evaluation mode and float32.

The images go to the device as they are stored; what `predict` does image by image with Pillow is
done there for whole batches, to the bit.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.preprocessing import normalize, pillow_resize
from training.dataset.cifar10 import Split


class Outputs(NamedTuple):
    """What a network gives for N images, float32 on the CPU."""

    logits: Tensor  # (N, C)
    features: Tensor  # (N, F), pooled


def split_logits(
    model: MobileNetV3Cifar, split: Split, what: str | None = None, flip: bool = False
) -> Tensor:
    """Logits, float32 (N, C) on the CPU; see split_outputs."""
    return split_outputs(model, split, what, flip).logits


@torch.no_grad()
def split_outputs(
    model: MobileNetV3Cifar, split: Split, what: str | None = None, flip: bool = False
) -> Outputs:
    """Logits and features of all images of a split, or of the mirrored ones.

    `what` names the progress bar; without it there is none.
    """
    device = next(model.parameters()).device
    size, home = 64, torch.device("cpu")
    if device.type == "cuda":  # the only other device with the float64 of `pillow_resize`
        size, home = 500, device
    training, rows = model.training, []
    model.eval()
    with tqdm(total=len(split), desc=what, unit="img", disable=what is None, mininterval=1) as bar:
        for start in range(0, len(split), size):
            images = torch.from_numpy(split.images[start : start + size]).to(home)
            inputs = to_inputs(images.flip(2) if flip else images, model).to(device)
            features = model.forward_features(inputs)
            rows.append((model.forward_head(features), features.mean(dim=(2, 3))))
            bar.update(len(images))
    model.train(training)
    return Outputs(*(torch.cat(parts).float().cpu() for parts in zip(*rows, strict=True)))


def to_inputs(images: Tensor, model: MobileNetV3Cifar) -> Tensor:
    """uint8 (N, 32, 32, 3) -> what the model's `preprocess` gives, channels last."""
    config = model.config
    pixels = pillow_resize(images.permute(0, 3, 1, 2), config.image_size)
    inputs = normalize(pixels.float() / 255, config.mean, config.std)
    return inputs.contiguous(memory_format=torch.channels_last)


def correct_and_loss(logits: Tensor, labels: np.ndarray) -> tuple[int, float]:
    """(number of correct predictions, sum of cross entropies) of logits (N, C) and labels (N,)."""
    truth = torch.from_numpy(labels.astype(np.int64))
    loss = nn.functional.cross_entropy(logits, truth, reduction="sum")
    return int((logits.argmax(1) == truth).sum()), float(loss)
