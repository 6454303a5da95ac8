"""Fit the linear out-of-distribution score of a shipped variant (outlier exposure).

    python -m training.outliers small-cifar32 tiny-imagenet-200/
    python -m training.quantize small-cifar32

The score is a weighted sum of the network's features. A logistic regression chooses the weights so
that images of CIFAR-10's classes have a higher score than other images (Hendrycks et al., ICLR
2019). The network itself does not change. The score is fitted to CIFAR-10 training images and
photographs from Tiny ImageNet (https://cs231n.stanford.edu/tiny-imagenet-200.zip). For the shipped
scores, we used a copy of Tiny ImageNet with images of 32x32 instead of 64x64 pixels (see
benchmarks/photographs-development.md).

The weights and a new threshold are written to `config.json`, and the rates of flagged images to
`metrics.json` and the model card. If `config.json` changes, the ONNX files are deleted, because
they still contain the old score. `training.quantize` writes new ones.
"""

import dataclasses
import json
import tempfile
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.command_line import command_parser, one_line_errors
from mobilenetv3_cifar.config import digest
from mobilenetv3_cifar.images import open_image
from mobilenetv3_cifar.preprocessing import NATIVE_SIZE, to_square
from mobilenetv3_cifar.variants import CONFIG_FILE, METRICS_FILE, get_variant
from training.dataset.cifar10 import Cifar10, Split, load
from training.errors import DataError
from training.experiments import EXPERIMENTS
from training.loop.provenance import commit
from training.loop.validation import split_outputs
from training.reports import card
from training.reports.metrics import flagged
from training.reports.model_folder import install_folder
from training.reports.schema import Outliers, read_metrics
from training.reports.shipped_weights import fit_threshold
from training.reports.text import percent, to_json

# Tiny ImageNet's categories have WordNet ids (wnids). The file below lists the ids that belong to
# CIFAR-10's classes, the ids that are skipped because they resemble a class, and the photographs
# that are skipped because they are also used in benchmarks/photographs-development.md.
PHOTOGRAPHS = Path(__file__).parent / "dataset" / "tiny_imagenet.json"
IDS = 200
NONE = "none"
KNOWN_PER_ID, OTHER_PER_ID = 500, 100  # photographs per id: the first ones in alphabetical order
CIFAR10_IMAGES = 6000
# A threshold must not be fitted to images on which the network was trained.
OWN = [name for name, row in EXPERIMENTS.items() if row.kind == "own" and not row.validated_by]
C = 150.0  # inverse strength of the logistic regression's L2 penalty


def read_photographs(folder: Path) -> tuple[np.ndarray, list[str]]:
    """Read Tiny ImageNet's photographs. Return uint8 images (N, 32, 32, 3) and their N labels.

    A label is one of CIFAR-10's labels or `NONE`.
    """
    listed = json.loads(PHOTOGRAPHS.read_text(encoding="utf-8"))
    label_of = {wnid: label for label, wnids in listed["classes"].items() for wnid in wnids}
    skipped = {*listed["similar"], *listed["excluded"]}
    images, labels = [], []
    ids = sorted(path.name for path in folder.glob("train/n*"))
    if len(ids) != IDS or not label_of.keys() <= {*ids}:
        raise DataError(f"{folder} is not Tiny ImageNet: it must have {IDS} folders train/n...")
    used = [wnid for wnid in ids if wnid not in skipped]
    for wnid in tqdm(used, desc="photographs", unit="class", mininterval=1):
        count = KNOWN_PER_ID if wnid in label_of else OTHER_PER_ID
        paths = sorted((folder / "train" / wnid / "images").glob("*.JPEG"))[:count]
        if len(paths) < count:
            raise DataError(f"{folder} is incomplete: train/{wnid} has only {len(paths)} images")
        for path in (path for path in paths if path.name not in skipped):
            images.append(np.asarray(to_square(open_image(path), NATIVE_SIZE)))
            labels.append(label_of.get(wnid, NONE))
    return np.stack(images), labels


def fit_weights(features: np.ndarray, groups: list[tuple[str, str]]) -> tuple[float, ...]:
    """Fit the weights of the score to the features (N, F) of N images.

    `groups` has the source (such as "photographs") and the label of each image. Together, images
    with the label NONE count as much as all other images. Among these others, every source counts
    the same and, within a source, every label.
    """
    # In float32, rounding would make the mean of a constant feature differ from its value.
    features = features.astype(np.float64)
    sources, labels = (np.array(each) for each in zip(*groups, strict=True))
    known = labels != NONE
    importance = np.zeros(len(groups))
    importance[~known] = 1 / (~known).sum()
    for source in {source for source, label in groups if label != NONE}:
        chosen = known & (sources == source)
        _, index, counts = np.unique(labels[chosen], return_inverse=True, return_counts=True)
        importance[chosen] = 1 / (counts[index] * len(counts) * len(np.unique(sources[known])))
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    regression = LogisticRegression(C=C, max_iter=1000)
    regression.fit((features - mean) / deviation, known, sample_weight=importance)
    weights = regression.coef_[0] / deviation
    weights /= (features[known] @ weights).std()
    return tuple(float(f"{weight:.4f}") for weight in weights)


def fit_score(folder: Path, data: Cifar10, photographs: tuple[np.ndarray, list[str]]) -> str:
    """Fit the score of the network in a model folder, and rewrite the folder. Return a summary."""
    model, metrics = MobileNetV3Cifar.from_pretrained(folder), read_metrics(folder / METRICS_FILE)
    images, labels = photographs
    cifar = data.train.take(slice(0, CIFAR10_IMAGES))
    groups = [("cifar10", model.config.labels[index]) for index in cifar.labels]
    groups += [("photographs", label) for label in labels]
    unlabelled = Split(images, np.zeros(len(images), np.uint8))
    _, own = split_outputs(model, cifar, "training images")
    _, other = split_outputs(model, unlabelled, "photographs")
    weights = fit_weights(np.concatenate([own.numpy(), other.numpy()]), groups)
    config = dataclasses.replace(model.config, ood_score="linear", ood_weights=weights)
    validation = split_outputs(model, data.validation, "validation")
    model.config = fit_threshold(config, *validation)
    metrics["validation"]["flagged"] = flagged(model.config, *validation)
    metrics["test"]["flagged"] = flagged(model.config, *split_outputs(model, data.test, "test"))
    metrics["outliers"] = Outliers(
        cifar10=len(cifar),
        known=len(labels) - labels.count(NONE),
        none=labels.count(NONE),
        source="Tiny ImageNet",
        sha256=digest(images.tobytes()),
        commit=commit(),
    )
    for key in ("latency", "int8"):  # `install_folder` restores them if the config stays the same
        metrics.pop(key, None)  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as temporary:
        staged = Path(temporary, folder.name)
        model.save_pretrained(staged)
        written = json.loads((staged / CONFIG_FILE).read_bytes())
        metrics["weights"]["config_sha256"] = written["config_sha256"]
        (staged / METRICS_FILE).write_bytes(to_json(metrics))
        install_folder(staged, folder)
    card.write_card(folder)
    return f"{percent(metrics['test']['flagged'])} of the test images are flagged"


@one_line_errors()
def main() -> None:
    parser = command_parser("training.outliers", __doc__)
    parser.add_argument("name", choices=OWN, metavar="NAME", help=", ".join(OWN))
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="Tiny ImageNet, unpacked")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="default: data")
    arguments = parser.parse_args()
    folder = get_variant(arguments.name).folder
    data = load(arguments.data_dir, EXPERIMENTS[arguments.name].recipe.split)
    photographs = read_photographs(arguments.folder)
    print(f"{arguments.name}: {fit_score(folder, data, photographs)}")


if __name__ == "__main__":
    main()
