"""Read, check and write `config.json`, which contains all arguments that a network was built with.

The file also has the SHA-256 of the weights file, and `config_sha256`, a hash of all other values.
"""

import dataclasses
import hashlib
import json
import math
import re
import reprlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

from mobilenetv3_cifar.errors import ModelFolderError, printable, quote
from mobilenetv3_cifar.files import read_file
from mobilenetv3_cifar.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from mobilenetv3_cifar.variants import CONFIG_FILE

Size = Literal["small", "large"]
Blocks = Literal["report", "paper", "cifar32"]
OodScore = Literal["confidence", "energy", "linear"]

CONFIG_VERSION = 1
MAX_CONFIG_BYTES = 2**20
MAX_CLASSES = 10_000  # so that no config can make the network's last layer huge
MAX_LABEL = 100  # characters
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100
MAX_WEIGHT = 1000  # of ood_weights, in absolute value


def is_number(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and is_number(value, low, high)


def are_channels(value: Any, low: float) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and all(is_number(v, low, 1) for v in value)


def are_weights(value: Any) -> bool:
    return isinstance(value, tuple) and all(is_number(v, -MAX_WEIGHT, MAX_WEIGHT) for v in value)


def are_labels(value: Any) -> bool:
    # `isprintable` refuses control characters, and lone surrogates, which UTF-8 cannot encode.
    return (
        isinstance(value, tuple)
        and all(isinstance(v, str) and v.isprintable() and 0 < len(v) <= MAX_LABEL for v in value)
        and len(set(value)) == len(value)
    )


RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "size": ("small or large", lambda v: v in get_args(Size)),
    "blocks": (f"one of {', '.join(get_args(Blocks))}", lambda v: v in get_args(Blocks)),
    "dropout": ("a number in [0, 1)", lambda v: is_number(v, 0, 1) and v < 1),
    "num_classes": (
        f"a whole number from 1 to {MAX_CLASSES}",
        lambda v: is_whole(v, 1, MAX_CLASSES),
    ),
    "labels": (f"different printable strings of 1 to {MAX_LABEL} characters", are_labels),
    "image_size": ("a whole number from 32 to 512", lambda v: is_whole(v, 32, 512)),
    "mean": ("three numbers from 0 to 1", lambda v: are_channels(v, 0)),
    "std": ("three numbers above 0, at most 1", lambda v: are_channels(v, math.ulp(0))),
    "temperature": (
        f"a number from {MIN_TEMPERATURE} to {MAX_TEMPERATURE}",
        lambda v: is_number(v, MIN_TEMPERATURE, MAX_TEMPERATURE),
    ),
    "ood_score": (f"one of {', '.join(get_args(OodScore))}", lambda v: v in get_args(OodScore)),
    "ood_weights": (f"numbers from {-MAX_WEIGHT} to {MAX_WEIGHT}", are_weights),
    "ood_threshold": (
        "a finite number or null",
        lambda v: v is None or is_number(v, -sys.float_info.max, sys.float_info.max),
    ),
}


def require(name: str, value: Any) -> None:
    """Raise a ValueError if `value` is not valid for the setting `name`."""
    rule, is_valid = RULES[name]
    if not is_valid(value):
        raise ValueError(f"{name} must be {rule}, not {reprlib.repr(value)}")  # reprlib shortens it


def plain(value: Any) -> Any:
    """Convert lists, arrays and tensors to tuples, and numpy or torch scalars to Python numbers."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return tuple(map(plain, value)) if isinstance(value, list | tuple) else value


@dataclasses.dataclass(frozen=True)
class Settings:
    """The arguments of MobileNetV3Cifar. An invalid argument raises a ValueError that names it."""

    size: Size
    blocks: Blocks
    dropout: float
    num_classes: int
    labels: tuple[str, ...]
    image_size: int
    # The settings below have defaults, because early versions wrote config.json without them.
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    temperature: float = 1.0
    ood_score: OodScore = "confidence"
    ood_weights: tuple[float, ...] = dataclasses.field(default=(), repr=False)  # up to 960
    ood_threshold: float | None = None

    def __post_init__(self) -> None:
        for name in RULES:
            value = plain(getattr(self, name))
            require(name, value)
            object.__setattr__(self, name, value)
        if len(self.labels) != self.num_classes:
            raise ValueError(f"labels must have {self.num_classes} entries, not {len(self.labels)}")
        if (self.ood_score == "linear") != bool(self.ood_weights):
            raise ValueError(
                "the ood_score 'linear' needs ood_weights, and other scores do not accept them"
            )

    @property
    def id2label(self) -> dict[int, str]:
        return dict(enumerate(self.labels))

    @property
    def label2id(self) -> dict[str, int]:
        return {label: index for index, label in enumerate(self.labels)}


class Config(Settings):
    """Settings to which training frameworks may add attributes.

    transformers' Trainer sets `config.use_cache`, and its loggers call `to_dict` and
    `to_json_string`. A frozen dataclass refuses new attributes, but this subclass accepts them,
    because it is not itself decorated with `dataclass`. Its fields stay frozen.
    """

    def to_dict(self) -> dict[str, Any]:
        values = dataclasses.asdict(self)
        if not self.ood_weights:  # omit the key, as in files written before the key existed
            del values["ood_weights"]
        return values

    def to_json_string(self) -> str:
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)


def numbered_labels(num_classes: int) -> tuple[str, ...]:
    require("num_classes", plain(num_classes))
    return tuple(f"class {index}" for index in range(num_classes))


REQUIRED = {f.name for f in dataclasses.fields(Config) if f.default is dataclasses.MISSING}
OTHER_KEYS = {"config_version", "config_sha256", "weights_sha256", "unsure_below"}


def read_content(path: Path, limit: int) -> bytes:
    """Read a file of a model folder, or raise a ModelFolderError."""
    try:
        return read_file(path, limit)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ModelFolderError(f"{path} is missing; every model folder needs it") from error
    except OSError as error:
        raise ModelFolderError(f"{path} cannot be read: {error.strerror}") from error


def read_config(folder: Path) -> tuple[Config, str]:
    """Return the config in `folder`, and the SHA-256 (hexadecimal) that the weights must have."""
    return decode_config(folder, read_content(folder / CONFIG_FILE, MAX_CONFIG_BYTES))


def decode_config(folder: Path, content: bytes) -> tuple[Config, str]:
    """Decode and check the content of config.json. `folder` is used only in error messages."""
    try:
        values = json.loads(content.decode("utf-8"))
        check_keys(values)
        sha256 = hash_values(values)
        if "unsure_below" in values:  # the former name of ood_threshold
            values["ood_threshold"] = values.pop("unsure_below")
        config = select_settings(values)
        if values.get("config_sha256", sha256) != sha256:  # older files have no config_sha256
            raise ValueError(
                "it does not match its config_sha256, so it was damaged or edited; to change a "
                "setting, load the folder with from_pretrained(..., NAME=VALUE) and save again"
            )
        return config, values["weights_sha256"]
    except (ValueError, RecursionError) as error:
        raise ModelFolderError(f"{folder / CONFIG_FILE} is refused: {error}") from error


def select_settings(values: dict[str, Any]) -> Config:
    """Return the settings among `values` as a Config. Other keys are ignored."""
    return Config(**{name: values[name] for name in RULES.keys() & values.keys()})


def check_keys(values: Any) -> None:
    """Check the keys, version and weights_sha256 of config.json. `Config` checks the settings."""
    if not isinstance(values, dict):
        raise ValueError("it is not a JSON object")
    version = values.get("config_version", CONFIG_VERSION)
    if version != CONFIG_VERSION or isinstance(version, bool):
        raise ValueError(f"config_version must be {CONFIG_VERSION}, not {quote(version)}")
    if missing := (REQUIRED | {"weights_sha256"}) - values.keys():
        raise ValueError(f"missing keys: {', '.join(sorted(missing))}")
    if unknown := values.keys() - RULES.keys() - OTHER_KEYS:
        names = printable(", ".join(sorted(unknown)))
        advice = "if a newer version wrote the file, upgrade mobilenetv3-cifar (see its README)"
        raise ValueError(f"unknown keys: {names}; {advice}")
    if not re.fullmatch(r"[0-9a-f]{64}", str(values["weights_sha256"])):
        raise ValueError("weights_sha256 must be 64 hexadecimal digits, in lower case")


def hash_values(values: dict[str, Any]) -> str:
    """Encode all values but `config_sha256` as compact, sorted JSON, and return its SHA-256."""
    covered = {key: value for key, value in values.items() if key != "config_sha256"}
    return digest(json.dumps(covered, sort_keys=True, separators=(",", ":")).encode())


def encode_config(config: Config, sha256: str) -> bytes:
    values = config.to_dict() | {"config_version": CONFIG_VERSION, "weights_sha256": sha256}
    values["config_sha256"] = hash_values(values)
    return (json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
