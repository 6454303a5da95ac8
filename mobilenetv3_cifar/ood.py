"""Out-of-distribution scores: how likely it is that an image shows one of the classes.

`predict` uses this module with numpy arrays, and `export` traces it with torch tensors. So the code
calls only functions that numpy and torch share.
"""

from typing import Any


def score(xp: Any, name: str, logits: Any, temperature: float) -> Any:
    """The score of each image, (N,); a higher score means that a class is more likely shown.

    Args:
        xp: numpy or torch, the module of the arrays.
        name: "confidence": the top probability (Hendrycks and Gimpel, ICLR 2017). "energy": the log
            of the sum of exponentials (Liu et al., NeurIPS 2020), without the temperature.
        logits: (N, C).

    Raises:
        ValueError: the score's name is unknown.
    """
    top = xp.amax(logits, 1)
    gaps = top[:, None] - logits  # (N, C), 0 for the predicted class
    if name == "confidence":
        return 1 / xp.sum(xp.exp(-gaps / temperature), 1)
    if name == "energy":
        return top + xp.log(xp.sum(xp.exp(-gaps), 1))
    raise ValueError(f"the score must be confidence or energy, not {name!r}")
