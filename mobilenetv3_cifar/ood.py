"""Out-of-distribution scores, which estimate whether an image shows one of the classes."""

from typing import Any

from mobilenetv3_cifar.config import Config


def score(xp: Any, config: Config, logits: Any, features: Any) -> Any:
    """Return N scores. The higher a score, the more likely the image shows one of the classes.

    `config.ood_score` names the score:
    - "confidence" is the highest probability (Hendrycks and Gimpel, ICLR 2017).
    - "energy" is the log of the sum of the logits' exponentials (Liu et al., NeurIPS 2020).
    - "linear" is the sum of the features, weighted by `config.ood_weights`. The weights were fitted
      so that images of the classes score higher than other images (Hendrycks et al., ICLR 2019).

    Args:
        xp: the module numpy if `logits` is an array (as in `predict`), or torch if `logits` is a
            tensor (as in the export to ONNX).
        logits: an array or tensor (N, C), for N images and C classes.
        features: the pooled features (N, F). Only "linear" uses them.
    """
    if config.ood_score == "linear":
        return features @ xp.asarray(config.ood_weights, dtype=xp.float32)
    top = xp.amax(logits, 1)
    gaps = top[:, None] - logits  # (N, C); the predicted class has a gap of 0
    if config.ood_score == "confidence":
        return 1 / xp.sum(xp.exp(-gaps / config.temperature), 1)
    return top + xp.log(xp.sum(xp.exp(-gaps), 1))
