"""Out-of-distribution scores: how likely an image shows one of the classes at all.

A higher score means more likely. All functions take plain tensors, keep their device, and can be
traced. Axes: N images, F features, C classes. For an image answered by several crops, logits and
pooled features are the means over its crops.
"""

import torch
from torch import Tensor


def confidence(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """(N, C) -> (N,): the top probability, in (0, 1] (Hendrycks and Gimpel, ICLR 2017)."""
    return (logits / temperature).softmax(dim=1).amax(dim=1)


def energy(logits: Tensor) -> Tensor:
    """(N, C) -> (N,): log of the sum of exponentials (Liu et al., NeurIPS 2020)."""
    return logits.logsumexp(dim=1)


def fdbd(features: Tensor, logits: Tensor, weight: Tensor, feature_mean: Tensor) -> Tensor:
    """How far the decision boundaries are, relative to the distance from the training features.

    With the predicted class p, features z, logits l and the head's rows w, this is the mean over
    the other classes c of |l_p - l_c| / ||w_p - w_c||, divided by ||z - feature_mean||
    (Liu and Qin, "Fast Decision Boundary based Out-of-Distribution Detector", ICML 2024).

    Args:
        features: (N, F), pooled.
        logits: (N, C), of a head of one linear layer.
        weight: (C, F), that layer's.
        feature_mean: (F,), the mean of the training images' pooled features.

    Returns:
        (N,), at least 0; 0 where there is a single class.
    """
    top, predicted = logits.max(dim=1)
    gaps = top[:, None] - logits  # (N, C), 0 for the predicted class
    # Written out: torch.cdist has no ONNX counterpart.
    distances = (weight[:, None] - weight).norm(dim=2)[predicted]  # (N, C)
    tiny = torch.finfo(logits.dtype).tiny
    to_boundaries = (gaps / distances.clamp(min=tiny)).sum(dim=1) / max(logits.shape[1] - 1, 1)
    return to_boundaries / (features - feature_mean).norm(dim=1).clamp(min=tiny)


def score(
    name: str,
    features: Tensor,
    logits: Tensor,
    *,
    temperature: float,
    weight: Tensor | None = None,
    feature_mean: Tensor | None = None,
) -> Tensor:
    """The score of that name ("confidence", "energy" or "fdbd") for each image: (N,).

    Raises:
        ValueError: there is no such score, or "fdbd" lacks the head's weight or the feature mean.
    """
    if name == "confidence":
        return confidence(logits, temperature)
    if name == "energy":
        return energy(logits)
    if name != "fdbd":
        raise ValueError(f"the score must be confidence, energy or fdbd, not {name!r}")
    if weight is None or feature_mean is None:
        raise ValueError("fdbd needs a head of one linear layer and the mean of training features")
    return fdbd(features, logits, weight, feature_mean)
