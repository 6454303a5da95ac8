"""Define the keys of `metrics.json`, and check that a file has these keys and the right types.

Fractions are from 0 to 1. Accuracies are measured with the final weights after rounding (see
`Weights`), in evaluation mode and without augmentation. A key marked NotRequired is missing from
files that are older than the key, and from files of runs to which it does not apply.
"""

import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from training.errors import ResultsError
from training.experiments import Reported


class Counts(TypedDict):
    correct: int
    total: int
    accuracy: float  # correct / total


class Summary(Counts):
    loss: float  # mean cross entropy (natural logarithm), without temperature scaling


class ClassScores(TypedDict):
    precision: float
    recall: float
    f1: float
    support: int  # number of images of this class


class SplitMetrics(Summary):
    precision_macro: float
    recall_macro: float
    f1_macro: float
    top5_accuracy: float
    ece: float  # expected calibration error in 15 bins, at the config's temperature
    ece_untempered: float  # expected calibration error at temperature 1
    flagged: float  # fraction of images that are flagged as probably showing none of the classes
    per_class: dict[str, ClassScores]  # by label
    confusion_matrix: list[list[int]]  # rows: true class, columns: predicted class
    # If the network was trained on these images: the experiment whose network was measured instead.
    run: NotRequired[str]


class Weights(TypedDict):
    precision: str
    validation_change: float  # change in validation accuracy from rounding the weights
    sha256: str  # of model.safetensors
    config_sha256: NotRequired[str]  # copied from the same key in config.json


class Training(TypedDict):
    command: str
    seconds: float  # total time of all epochs, including validation
    images: NotRequired[int]  # number of training images times number of epochs
    precision: str
    processes: int
    device: str
    torch: str
    commit: str
    data_sha256: str


class Int8(Summary):
    """Measurements of the 8-bit ONNX file. The inherited keys are results on the test images."""

    bytes: int
    validation_change: float  # validation accuracy of this file minus that of the float32 ONNX file
    speedup: float  # the speed relative to the float32 file, at batch size 1 on one thread
    calibration_images: int
    onnxruntime: str  # version of onnxruntime
    device: str


class Outliers(TypedDict):
    """The images to which the weights of the out-of-distribution score "linear" were fitted."""

    cifar10: int  # number of training images from CIFAR-10
    known: int  # number of photographs that show one of the ten classes
    none: int  # number of photographs that show none of the classes
    source: str  # of the photographs
    sha256: str  # of the photographs' pixels, uint8 (N, 32, 32, 3)
    commit: str


class Latency(TypedDict):
    """The median processor time (not wall-clock time) of one batch on one thread."""

    runtime: str  # "PyTorch", "onnxruntime", or "onnxruntime, 8 bits"
    device: str
    batch: int
    milliseconds: float


class Metrics(TypedDict):
    name: str
    kind: NotRequired[str]
    seed: int
    epochs: int
    parameters: int
    macs: int  # multiply-accumulates of the convolution and linear layers, for one image
    weights: Weights
    train: Summary
    validation: SplitMetrics
    test: SplitMetrics
    report: Reported | None
    training: Training
    flip_averaged: NotRequired[Counts]  # on test images; computed by `flip_averaged` in metrics.py
    corruptions: NotRequired[dict[str, list[float]]]  # {corruption: [test accuracy per severity]}
    outliers: NotRequired[Outliers]
    latency: NotRequired[list[Latency]]
    int8: NotRequired[Int8]
    history: NotRequired[dict[str, list[float]]]  # columns of history.csv; only in seeds/SEED.json


def read_metrics(path: Path) -> Metrics:
    """Read a metrics.json. If it is invalid, raise a ResultsError with the first invalid key."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ResultsError(f"{path} is not valid JSON: {error}") from error
    check(content, path)
    return cast(Metrics, content)


def check(metrics: Any, source: Path) -> None:
    """If `metrics` has an invalid key, raise a ResultsError that names `source` and the key."""
    if problem := next(problems(metrics, Metrics), None):
        raise ResultsError(f"{source}: {problem}")


def problems(value: Any, schema: Any, key: str = "") -> Iterator[str]:
    """Yield a message for each part of `value` that does not match the type `schema`.

    `key` is the position of `value` in the file, such as "test.ece".
    """
    if typing.get_origin(schema) is types.UnionType:  # X | None
        schema = types.NoneType if value is None else typing.get_args(schema)[0]
    origin, arguments = typing.get_origin(schema), typing.get_args(schema)
    plain = dict if typing.is_typeddict(schema) else origin or schema
    # JSON may write 1.0 as 1. In Python, a bool is an int, but it is not a valid number here.
    accepted: Any = (int, float) if plain is float else plain
    if not isinstance(value, accepted) or isinstance(value, bool) != (plain is bool):
        yield f"{key or 'the file'} must be {plain.__name__}, not {value!r:.60}"
    elif typing.is_typeddict(schema):
        hints, prefix = typing.get_type_hints(schema), f"{key}." if key else ""
        missing, unknown = schema.__required_keys__ - value.keys(), value.keys() - hints.keys()
        yield from (f"{prefix}{name} is missing" for name in sorted(missing))
        yield from (f"{prefix}{name} is not a known key" for name in sorted(unknown))
        for name in filter(hints.__contains__, value):
            yield from problems(value[name], hints[name], f"{prefix}{name}")
    elif plain is dict:
        for name, item in value.items():
            yield from problems(item, arguments[1], f"{key}.{name}")
    elif plain is list:
        for at, item in enumerate(value):
            yield from problems(item, arguments[0], f"{key}[{at}]")
