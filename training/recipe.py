"""A recipe: all settings of a training run except its length and seed."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from training.loop.augmentation import Augmentation, EnlargeRotate, Flip, uses_progress
from training.loop.optimizers import Adam, OptimizerRecipe

Schedule = Literal["step", "cosine", "linear"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Distillation:
    """Learn from another network's predictions on the same augmented images (Hinton et al. 2015).

    The loss is (1 - weight) x cross entropy + weight x temperature^2 x KL divergence.
    """

    teacher: str  # a shipped variant, or an experiment whose run with seed 0 has ended
    weight: float
    temperature: float


ADAM = Adam(lr=1e-3)


@dataclass(frozen=True)
class Recipe:
    """Settings of a run; the defaults are the report's (listings 1 and 10)."""

    optimizer: OptimizerRecipe = ADAM
    schedule: Schedule = "step"
    warmup_epochs: int = 0  # the rate rises linearly from 0
    batch_size: int = 64
    augmentations: tuple[Augmentation, ...] = (Flip(), EnlargeRotate(degrees=10.0, size=224))
    label_smoothing: float = 0.0
    ema: float = 0.0  # decay per step of the moving average of weights; 0: no averaging
    distillation: Distillation | None = None
    precision: Precision = "float32"  # of activations in training; weights are always float32
    split: str = "35k/15k"  # a key of training.dataset.cifar10.SPLITS
    train_images: int | None = None  # use only this many of the split's first images

    def lr_factor(self, step: int, steps_per_epoch: int, epochs: int) -> float:
        """The learning rate of a step, counted from 0 over the whole run, relative to the peak.

        "step" is listing 10's StepLR(step_size=3, gamma=0.03), stepped once per epoch; "cosine" and
        "linear" fall to 0 at the end of the run.
        """
        warmup, total = self.warmup_epochs * steps_per_epoch, epochs * steps_per_epoch
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if self.schedule == "step":
            return 0.03 ** (step // steps_per_epoch // 3)
        progress = (step - warmup) / max(1, total - warmup)
        if self.schedule == "linear":
            return 1 - progress
        return (1 + math.cos(math.pi * progress)) / 2

    @property
    def depends_on_length(self) -> bool:
        """Whether a longer run differs from a shorter one before the shorter one's end."""
        return (
            self.schedule != "step"
            or self.ema > 0  # batch norm is re-estimated at the end
            or any(map(uses_progress, self.augmentations))
        )

    def settings(self) -> dict[str, str]:
        """Every field by name, as text that survives JSON."""
        return {field.name: repr(getattr(self, field.name)) for field in dataclasses.fields(self)}
