"""Compute a model's logits, loss and accuracy on a dataset split, in evaluation mode and float32.

The model's inputs are bit for bit the same as in `predict`, which resizes with Pillow.
"""

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.preprocessing import normalize, pillow_resize
from training.dataset.cifar10 import Split


@torch.no_grad()
def split_outputs(
    model: MobileNetV3Cifar, split: Split, what: str | None = None, flip: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the logits (N, C) and pooled features (N, F) for all N images of `split`.

    Both are float32 tensors on the CPU. `flip` mirrors the images. `what` is the title of the
    progress bar, or None for no bar.
    """
    device = next(model.parameters()).device
    size, resize_device = 64, torch.device("cpu")
    if device.type == "cuda":  # not MPS: it lacks float64, which `pillow_resize` needs
        size, resize_device = 2500 if model.config.image_size <= 64 else 500, device
    training, rows = model.training, list[tuple[Tensor, Tensor]]()
    model.eval()
    with tqdm(total=len(split), desc=what, unit="img", disable=what is None, mininterval=1) as bar:
        for start in range(0, len(split), size):
            images = torch.from_numpy(split.images[start : start + size]).to(resize_device)
            inputs = to_inputs(images.flip(2) if flip else images, model).to(device)
            maps = model.forward_features(inputs)
            rows.append((model.forward_head(maps), maps.mean(dim=(2, 3))))
            bar.update(len(images))
    model.train(training)
    logits, features = (torch.cat(parts).float().cpu() for parts in zip(*rows, strict=True))
    return logits, features


def split_logits(
    model: MobileNetV3Cifar, split: Split, what: str | None = None, flip: bool = False
) -> Tensor:
    """Return the logits (N, C) of `split_outputs`."""
    return split_outputs(model, split, what, flip)[0]


def to_inputs(images: Tensor, model: MobileNetV3Cifar) -> Tensor:
    """Convert uint8 images (N, 32, 32, 3) to normalised inputs, in channels-last memory format."""
    config = model.config
    inputs = []
    # On a CPU, resize two images at a time. They stay in the CPU cache, which halves the time.
    for part in images.permute(0, 3, 1, 2).split(len(images) if images.is_cuda else 2):
        pixels = pillow_resize(part, config.image_size).float() / 255
        normalized = normalize(pixels, config.mean, config.std)
        inputs.append(normalized.contiguous(memory_format=torch.channels_last))
    return torch.cat(inputs)


def correct_and_loss(logits: Tensor, labels: np.ndarray) -> tuple[int, float]:
    """Return the number of correct predictions and the summed cross entropy of logits (N, C)."""
    truth = torch.from_numpy(labels.astype(np.int64))
    loss = nn.functional.cross_entropy(logits, truth, reduction="sum")
    return int((logits.argmax(1) == truth).sum()), float(loss)
