"""Out-of-distribution scores: how likely an image shows one of the classes at all.

Written once for numpy, which `predict` uses, and for torch, which the exported graph is traced
with: the functions used here are in both. Axes: N images, F features, C classes. For an image
answered by several crops, logits and pooled features are the means over its crops.
"""

from typing import Any

TINY = 2.0**-126  # the smallest normal float32: no division by 0


def score(
    xp: Any,
    name: str,
    features: Any,
    logits: Any,
    *,
    temperature: float,
    class_distances: Any = None,
    feature_mean: Any = None,
) -> Any:
    """The score of each image, (N,); higher means more likely one of the classes.

    Args:
        xp: numpy or torch, the module of the arrays.
        name: "confidence": the top probability (Hendrycks and Gimpel, ICLR 2017). "energy": the log
            of the sum of exponentials (Liu et al., NeurIPS 2020). "fdbd": with the predicted class
            p, the mean over the other classes c of |l_p - l_c| / ||w_p - w_c||, over
            ||z - feature_mean||, for features z, logits l and rows w of a linear head (Liu and Qin,
            "Fast Decision Boundary based Out-of-Distribution Detector", ICML 2024).
        features: (N, F), pooled.
        logits: (N, C).
        class_distances: (C, C), the ||w_p - w_c|| of "fdbd".
        feature_mean: (F,), for "fdbd": the mean of the training images' pooled features.

    Raises:
        ValueError: there is no such score, or "fdbd" lacks its constants.
    """
    top = xp.amax(logits, 1)
    gaps = top[:, None] - logits  # (N, C), 0 for the predicted class
    if name == "confidence":
        return 1 / xp.sum(xp.exp(-gaps / temperature), 1)
    if name == "energy":
        return top + xp.log(xp.sum(xp.exp(-gaps), 1))
    if name != "fdbd":
        raise ValueError(f"the score must be confidence, energy or fdbd, not {name!r}")
    if class_distances is None or feature_mean is None:
        raise ValueError("fdbd needs a head of one linear layer and the mean of training features")
    distances = xp.clip(class_distances[xp.argmax(logits, 1)], TINY, None)  # (N, C)
    to_boundaries = xp.sum(gaps / distances, 1) / max(logits.shape[1] - 1, 1)
    to_mean = xp.sqrt(xp.sum((features - feature_mean) ** 2, 1))
    return to_boundaries / xp.clip(to_mean, TINY, None)
