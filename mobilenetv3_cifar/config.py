"""The contents of `config.json`: every argument that a model was built with, validated."""

import dataclasses
import json
import math
import reprlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

from mobilenetv3_cifar.preprocessing import IMAGENET_MEAN, IMAGENET_STD, LABELS

Size = Literal["small", "large"]
Blocks = Literal["report", "paper", "cifar32"]
OodScore = Literal["confidence", "energy"]

CONFIG_VERSION = 1
MAX_CLASSES = 10_000  # bounds what a config can make us allocate
MAX_LABEL = 100  # characters
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100


def is_number(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and is_number(value, low, high)


def is_channels(value: Any, low: float) -> bool:
    """Whether it is one number up to 1 for each of red, green and blue."""
    return isinstance(value, tuple) and len(value) == 3 and all(is_number(v, low, 1) for v in value)


def are_labels(value: Any) -> bool:
    """Printable leaves out control characters, and lone surrogates that UTF-8 cannot write."""
    return (
        isinstance(value, tuple)
        and all(isinstance(v, str) and v.isprintable() and 0 < len(v) <= MAX_LABEL for v in value)
        and len(set(value)) == len(value)
    )


RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "size": ("small or large", lambda value: value in get_args(Size)),
    "blocks": (f"one of {', '.join(get_args(Blocks))}", lambda value: value in get_args(Blocks)),
    "dropout": ("a number in [0, 1)", lambda value: is_number(value, 0, 1) and value < 1),
    "num_classes": (
        f"a whole number from 1 to {MAX_CLASSES}",
        lambda value: is_whole(value, 1, MAX_CLASSES),
    ),
    "labels": ("different printable texts, one a class", are_labels),
    "image_size": ("a whole number from 32 to 512", lambda value: is_whole(value, 32, 512)),
    "mean": ("three numbers from 0 to 1", lambda value: is_channels(value, 0)),
    "std": ("three numbers above 0, at most 1", lambda value: is_channels(value, math.ulp(0))),
    "temperature": (
        f"a number from {MIN_TEMPERATURE} to {MAX_TEMPERATURE}",
        lambda value: is_number(value, MIN_TEMPERATURE, MAX_TEMPERATURE),
    ),
    "ood_score": (
        f"one of {', '.join(get_args(OodScore))}",
        lambda value: value in get_args(OodScore),
    ),
    "ood_threshold": (
        "a finite number or null",
        lambda value: value is None or is_number(value, -sys.float_info.max, sys.float_info.max),
    ),
}


def require(name: str, value: Any) -> None:
    """Raise ValueError naming the setting unless its value is within bounds."""
    rule, holds = RULES[name]
    if not holds(value):  # shortened: it may be megabytes
        raise ValueError(f"{name} must be {rule}, not {reprlib.repr(value)}")


@dataclasses.dataclass(frozen=True)
class Settings:
    """The arguments of MobileNetV3Cifar; a value out of bounds raises ValueError naming it."""

    size: Size
    blocks: Blocks
    dropout: float
    num_classes: int
    labels: tuple[str, ...]
    image_size: int
    # Keys with a default were added later; a config.json without them means the default.
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    temperature: float = 1.0
    ood_score: OodScore = "confidence"
    ood_threshold: float | None = None

    def __post_init__(self) -> None:
        for name in RULES:
            require(name, getattr(self, name))
        if len(self.labels) != self.num_classes:
            raise ValueError(f"labels must be {self.num_classes}, not {len(self.labels)}")

    @property
    def id2label(self) -> dict[int, str]:
        """Index -> label."""
        return dict(enumerate(self.labels))

    @property
    def label2id(self) -> dict[str, int]:
        """Label -> index."""
        return {label: index for index, label in enumerate(self.labels)}


class Config(Settings):
    """Settings on which training frameworks may leave attributes of their own.

    transformers' Trainer sets `config.use_cache`, and its loggers call the two methods. Fields stay
    frozen: only the frozen dataclass itself refuses other names, not its subclasses.
    """

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def to_json_string(self) -> str:
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)


def fill_labels(labels: Sequence[str] | None, num_classes: int) -> tuple[str, ...]:
    """`labels` as a tuple; without any, CIFAR-10's ten, or "class 0", "class 1" and so on."""
    if labels is not None:
        names: Any = tuple(labels) if isinstance(labels, list) else labels
        require("labels", names)
        return names
    return LABELS if num_classes == len(LABELS) else numbered_labels(num_classes)


def numbered_labels(num_classes: int) -> tuple[str, ...]:
    require("num_classes", num_classes)
    return tuple(f"class {index}" for index in range(num_classes))
