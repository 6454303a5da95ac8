"""Out-of-distribution scores, which estimate whether an image shows one of the classes.

`predict` uses this module with numpy arrays, and `export` traces it with torch tensors. So the code
calls only functions that numpy and torch share.
"""

from typing import Any


def score(xp: Any, name: str, logits: Any, temperature: float) -> Any:
    """Return (N,) scores. A higher score means that the image more likely shows one of the classes.

    Args:
        xp: the module numpy if `logits` is a numpy array, or torch if it is a tensor.
        name: "confidence" is the top probability (Hendrycks and Gimpel, ICLR 2017). "energy" is the
            log of the sum of the logits' exponentials (Liu et al., NeurIPS 2020); it ignores
            `temperature`.
        logits: (N, C).

    Raises:
        ValueError: the score's name is unknown.
    """
    top = xp.amax(logits, 1)
    gaps = top[:, None] - logits  # (N, C); the predicted class has the gap 0
    if name == "confidence":
        return 1 / xp.sum(xp.exp(-gaps / temperature), 1)
    if name == "energy":
        return top + xp.log(xp.sum(xp.exp(-gaps), 1))
    raise ValueError(f"the score must be confidence or energy, not {name!r}")
