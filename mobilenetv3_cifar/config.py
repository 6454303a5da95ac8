"""What `config.json` says of a model: every argument it was built with, validated."""

import dataclasses
import json
import math
import reprlib
from collections.abc import Sequence
from typing import Any, Literal, get_args

from mobilenetv3_cifar.preprocessing import IMAGENET_MEAN, IMAGENET_STD, LABELS

Size = Literal["small", "large"]
Blocks = Literal["report", "paper", "cifar32"]
OodScore = Literal["confidence", "energy", "fdbd"]

CONFIG_VERSION = 1
MAX_CLASSES = 10_000  # bounds what a config can make us allocate
MAX_LABEL = 100  # characters
IMAGE_SIZES = range(32, 513)
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100


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
        require(self.size in get_args(Size), "size must be small or large", self.size)
        require(
            self.blocks in get_args(Blocks),
            f"blocks must be one of {', '.join(get_args(Blocks))}",
            self.blocks,
        )
        require(
            is_number(self.dropout) and 0 <= self.dropout < 1,
            "dropout must be a number in [0, 1)",
            self.dropout,
        )
        require_classes(self.num_classes)
        require(
            isinstance(self.labels, tuple)
            and all(is_label(label) for label in self.labels)
            and len(set(self.labels)) == len(self.labels) == self.num_classes,
            f"labels must be {self.num_classes} different printable texts, one a class",
            self.labels,
        )
        require(
            is_whole(self.image_size) and self.image_size in IMAGE_SIZES,
            f"image_size must be {IMAGE_SIZES[0]} to {IMAGE_SIZES[-1]}",
            self.image_size,
        )
        require(is_channels(self.mean), "mean must be three numbers from 0 to 1", self.mean)
        require(
            is_channels(self.std) and min(self.std) > 0,
            "std must be three numbers above 0, at most 1",
            self.std,
        )
        require(
            is_number(self.temperature) and MIN_TEMPERATURE <= self.temperature <= MAX_TEMPERATURE,
            f"temperature must be a number from {MIN_TEMPERATURE} to {MAX_TEMPERATURE}",
            self.temperature,
        )
        require(
            self.ood_score in get_args(OodScore),
            f"ood_score must be one of {', '.join(get_args(OodScore))}",
            self.ood_score,
        )
        require(
            self.ood_threshold is None
            or (is_number(self.ood_threshold) and math.isfinite(self.ood_threshold)),
            "ood_threshold must be a finite number or null",
            self.ood_threshold,
        )

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
        named = isinstance(labels, list | tuple)
        require(named, "labels must be a list or tuple of texts", labels)
        return tuple(labels)
    return LABELS if num_classes == len(LABELS) else numbered_labels(num_classes)


def numbered_labels(num_classes: int) -> tuple[str, ...]:
    require_classes(num_classes)
    return tuple(f"class {index}" for index in range(num_classes))


def require_classes(value: object) -> None:
    require(
        isinstance(value, int) and is_whole(value) and 1 <= value <= MAX_CLASSES,
        f"num_classes must be a whole number from 1 to {MAX_CLASSES}",
        value,
    )


def require(condition: bool, rule: str, value: object) -> None:
    if not condition:
        raise ValueError(f"{rule}, not {reprlib.repr(value)}")  # shortened: it may be megabytes


def is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    return is_whole(value) or isinstance(value, float)


def is_channels(value: object) -> bool:
    """Whether it is one number from 0 to 1 for each of red, green and blue."""
    return (
        isinstance(value, tuple)
        and len(value) == 3
        and all(is_number(item) and 0 <= item <= 1 for item in value)
    )


def is_label(value: object) -> bool:
    """Printable leaves out control characters, and lone surrogates that UTF-8 cannot write."""
    return isinstance(value, str) and 0 < len(value) <= MAX_LABEL and value.isprintable()
