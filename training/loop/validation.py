"""Logits, loss and accuracy of a model over a dataset split, in evaluation mode."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.prediction import compute_logits
from training.dataset.cifar10 import Split


def split_logits(model: MobileNetV3Cifar, split: Split, what: str | None = None) -> Tensor:
    """Logits, float32 (N, C), of all pictures of a split; `what` names the progress bar."""
    images = tqdm(split.images, desc=what, unit="img", disable=what is None, mininterval=1)
    return compute_logits(model, (Image.fromarray(image) for image in images))


def correct_and_loss(logits: Tensor, labels: np.ndarray) -> tuple[int, float]:
    """(number of correct predictions, sum of cross entropies) of logits (N, C) and labels (N,)."""
    truth = torch.from_numpy(labels.astype(np.int64))
    loss = nn.functional.cross_entropy(logits, truth, reduction="sum")
    return int((logits.argmax(1) == truth).sum()), float(loss)
