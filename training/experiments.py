"""This module lists the experiments. Each has a network, a recipe and a number of epochs."""

from collections import ChainMap
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict

from mobilenetv3_cifar.preprocessing import CIFAR10_MEAN, CIFAR10_STD
from training.dataset.cifar10 import overlap
from training.loop.augmentation import AffineColour, Crop, CutMix, Cutout, Flip
from training.loop.optimizers import Muon, Sgd
from training.recipe import Distillation, Recipe


class Reported(TypedDict):
    """The test metrics, from 0 to 1, that the student report states for one experiment."""

    precision: float
    recall: float
    accuracy: float


REPORT = Recipe()  # the defaults of Recipe are the report's settings
COSINE = Recipe(schedule="cosine")
OVERFIT = Recipe(schedule="cosine", augmentations=(), split="45k/5k", train_images=1000)


@dataclass(frozen=True)
class Experiment:
    name: str
    model: dict[str, Any]  # keyword arguments of MobileNetV3Cifar
    epochs: int
    recipe: Recipe = REPORT
    kind: Literal["report", "control", "own", "ablation"] = "report"
    section: str = ""  # the place in the report that describes the experiment
    summary: str = ""  # in our words: the report's claim, or a control experiment's question
    report: Reported | None = None  # the metrics that the report states, if it states any
    validated_by: str = ""  # the same experiment on split 45k/5k, if this one trains on all images
    seeds: tuple[int, ...] = (0,)  # seed 0's network is shipped; the other seeds show the variation

    def __post_init__(self) -> None:
        if not self.validated_by and overlap(self.recipe.split, self.recipe.split):
            raise ValueError(f"{self.name} trains on its validation images, so set validated_by")

    @property
    def size(self) -> str:
        return self.model.get("size", "small")

    @property
    def dropout(self) -> float:
        return self.model.get("dropout", 0.0)

    def lr(self, step: int, steps_per_epoch: int) -> float:
        """Return the learning rate of optimizer step `step`, counted from 0 over the whole run."""
        return self.recipe.optimizer.lr * self.recipe.lr_factor(step, steps_per_epoch, self.epochs)

    def is_prefix_of(self, other: "Experiment") -> bool:
        """Return whether a run of `other` begins with all the steps of a run of this experiment."""
        same = (self.kind, self.model, self.recipe) == (other.kind, other.model, other.recipe)
        return same and not self.recipe.depends_on_length and self.epochs < other.epochs

    def is_twin_of(self, other: "Experiment") -> bool:
        """Return whether this repeats `other`, but trains on no validation image of `other`."""
        recipe = replace(self.recipe, split=other.recipe.split)
        same = (self.model, recipe, self.epochs) == (other.model, other.recipe, other.epochs)
        return same and not overlap(self.recipe.split, other.recipe.split)


def by_name(rows: Iterable[Experiment]) -> dict[str, Experiment]:
    """Return {name: row}. Raise a ValueError for a repeated name or an invalid `validated_by`."""
    named: dict[str, Experiment] = {}
    for row in rows:
        if row.name in named:
            raise ValueError(f"two experiments are called {row.name!r}")
        named[row.name] = row
    for row in named.values():
        twin = named.get(row.validated_by)
        if row.validated_by and not (twin and twin.is_twin_of(row)):
            what = "must be the same experiment, trained without the validation images"
            raise ValueError(f"{row.validated_by!r}, which validates {row.name}, {what}")
    return named


def cifar32_net(size: str) -> dict[str, Any]:
    return {"size": size, "blocks": "cifar32", "mean": CIFAR10_MEAN, "std": CIFAR10_STD}


# This recipe is for a CPU. To save time, most epochs use small crops.
CPU32 = Recipe(
    optimizer=Muon(lr=0.1, weight_decay=3e-3, rest=Sgd(0.15)),
    schedule="linear",
    warmup_epochs=3,
    batch_size=250,
    augmentations=(
        Flip("alternating"),
        AffineColour(0.25, during=(0.0, 0.9)),
        Crop(4, sizes=((0.6, 24), (0.75, 28))),
        Cutout(10, probability=0.5),
        CutMix(0.3, during=(0.0, 0.85)),
    ),
    ema=0.998,
    split="45k/5k",
)
CPU32_DISTILLED = replace(
    CPU32,
    precision="bfloat16",
    distillation=Distillation("large-cifar32", weight=0.7, temperature=2.0),
)
# This recipe is for about two hundred epochs on a GPU. It augments more than CPU32.
GPU32 = Recipe(
    optimizer=Muon(lr=0.08, weight_decay=4e-3, rest=Sgd(0.2)),
    schedule="linear",
    warmup_epochs=3,
    batch_size=500,
    augmentations=(
        Flip("alternating"),
        AffineColour(0.5, during=(0.0, 0.9)),
        Crop(4),
        Cutout(12, probability=0.5),
        CutMix(0.5, during=(0.0, 0.9)),
    ),
    ema=0.998,
    precision="bfloat16",
    split="45k/5k",
)

# fmt: off
ROWS = [
    Experiment("small-dropout0.7-epochs4", {"size": "small", "dropout": 0.7}, 4,
               section="section 9, figure 4",
               summary="dropout 0.7 and 4 epochs are the best Small setting, and that the "
                       "network generalises",
               seeds=(0, 1, 2),
               report=Reported(precision=0.7458877999762664, recall=0.7465, accuracy=0.7465)),
    Experiment("small-dropout0.7-epochs5", {"size": "small", "dropout": 0.7}, 5,
               section="section 9, figure 5",
               summary="the network is slightly better than after four epochs, and begins to "
                       "overfit", seeds=(0, 1, 2)),
    Experiment("small-dropout0-epochs10", {"size": "small", "dropout": 0.0}, 10,
               section="section 10, figure 6",
               summary="the network overfits: validation accuracy stands still from epoch 6 on",
               seeds=(0, 1, 2),
               report=Reported(precision=0.7675353432051456, recall=0.7676, accuracy=0.7676)),
    Experiment("small-dropout0.9-epochs3", {"size": "small", "dropout": 0.9}, 3,
               section="section 10, figure 7",
               summary="the network underfits", seeds=(0, 1, 2),
               report=Reported(precision=0.6941715863943863, recall=0.6930, accuracy=0.6930)),
    Experiment("large-dropout0.7-epochs4", {"size": "large", "dropout": 0.7}, 4,
               section="section 11, figure 8",
               summary="the Large network is slightly better than the Small one",
               report=Reported(precision=0.7624977661099234, recall=0.7618, accuracy=0.7618)),
    Experiment("large-dropout0.7-epochs5", {"size": "large", "dropout": 0.7}, 5,
               section="section 12, figure 9",
               summary="the fifth epoch still improves the network, with no sign of overfitting",
               report=Reported(precision=0.7726209060673617, recall=0.7746, accuracy=0.7746)),
    Experiment("large-dropout0-epochs10", {"size": "large", "dropout": 0.0}, 10,
               section="section 12, figure 10",
               summary="the network overfits: validation gains are marginal from epoch 5 on",
               report=Reported(precision=0.7871469448523931, recall=0.7883, accuracy=0.7883)),
    Experiment("large-dropout0.9-epochs3", {"size": "large", "dropout": 0.9}, 3,
               section="section 12, figure 11",
               summary="the network underfits",
               report=Reported(precision=0.7105702294239662, recall=0.7094, accuracy=0.7094)),
    Experiment("small-dropout0-epochs10-cosine", {"size": "small", "dropout": 0.0}, 10, COSINE,
               "control",
               summary="with another learning-rate schedule, does small-dropout0-epochs10 reach a "
                       "test accuracy above 80 %?", seeds=(0, 1, 2)),
    Experiment("small-overfit", cifar32_net("small"), 60, OVERFIT, "control",
               summary="what does overfitting look like if a network learns 1,000 images without "
                       "augmentation, up to a training accuracy of about 100 %?"),
    Experiment("large-overfit", cifar32_net("large"), 20, OVERFIT, "control",
               summary="does the Large network overfit in a third of small-overfit's epochs, on "
                       "the same 1,000 images?"),
    Experiment("small-cifar32", cifar32_net("small"), 100, CPU32_DISTILLED, "own",
               seeds=(0, 1)),
    Experiment("large-cifar32", cifar32_net("large"), 190, GPU32, "own"),
]
# fmt: on

# Short runs that compare settings for small-cifar32. They are never measured on the test images.
SHORT32 = replace(
    CPU32, warmup_epochs=1, batch_size=500, augmentations=(Flip("alternating"), Crop(4))
)
ABLATED_RECIPES = {
    "muon-lr0.04": replace(SHORT32, optimizer=Muon(0.04, weight_decay=3e-3, rest=Sgd(0.15))),
    "muon-lr0.08": replace(SHORT32, optimizer=Muon(0.08, weight_decay=3e-3, rest=Sgd(0.15))),
    "muon-lr0.16": replace(SHORT32, optimizer=Muon(0.16, weight_decay=3e-3, rest=Sgd(0.15))),
    "sgd-lr0.4": replace(SHORT32, optimizer=Sgd(0.4)),
}
ABLATIONS = {
    f"ablation-{name}": Experiment(f"ablation-{name}", cifar32_net("small"), 10, recipe, "ablation")
    for name, recipe in ABLATED_RECIPES.items()
}

EXPERIMENTS = by_name(ROWS)
RUNNABLE = ChainMap(ABLATIONS, EXPERIMENTS)  # lists the experiments first
