"""Out-of-distribution scores, which estimate whether an image shows one of the classes."""

from typing import Any


def score(xp: Any, name: str, logits: Any, temperature: float) -> Any:
    """Return N scores. The higher a score, the more likely the image shows one of the classes.

    Args:
        xp: the module numpy if `logits` is an array (as in `predict`), or torch if `logits` is a
            tensor (as in the export to ONNX).
        name: "confidence" is the highest probability (Hendrycks and Gimpel, ICLR 2017). "energy" is
            the log of the sum of the logits' exponentials (Liu et al., NeurIPS 2020).
        logits: an array or tensor (N, C), for N images and C classes.
        temperature: the number that divides the logits before the softmax. "energy" ignores it.

    Raises:
        ValueError: `name` is unknown.
    """
    top = xp.amax(logits, 1)
    gaps = top[:, None] - logits  # (N, C); the predicted class has a gap of 0
    if name == "confidence":
        return 1 / xp.sum(xp.exp(-gaps / temperature), 1)
    if name == "energy":
        return top + xp.log(xp.sum(xp.exp(-gaps), 1))
    raise ValueError(f"the score must be confidence or energy, not {name!r}")
