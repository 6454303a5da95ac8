"""A recipe contains all settings of a run except the network, the number of epochs and the seed."""

import math
from dataclasses import dataclass, field
from typing import Literal

from training.loop.augmentation import Augmentation, EnlargeRotate, Flip
from training.loop.optimizers import Adam, OptimizerRecipe

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Distillation:
    """The settings for learning from a teacher network's predictions (Hinton et al. 2015).

    The loss is (1 - weight) x cross entropy + weight x temperature^2 x KL divergence.
    """

    teacher: str  # a shipped variant, or an experiment whose run with seed 0 has ended
    weight: float
    temperature: float


@dataclass(frozen=True)
class Recipe:
    """The settings of a run. The defaults are the student report's settings (listings 1 and 10)."""

    optimizer: OptimizerRecipe = field(default_factory=lambda: Adam(lr=1e-3))
    schedule: Literal["step", "cosine", "linear"] = "step"
    warmup_epochs: int = 0  # number of initial epochs during which the learning rate rises linearly
    batch_size: int = 64
    augmentations: tuple[Augmentation, ...] = (Flip(), EnlargeRotate(degrees=10.0, size=224))
    label_smoothing: float = 0.0
    ema: float = 0.0  # decay per step of the weights' moving average; 0 turns averaging off
    distillation: Distillation | None = None
    precision: Precision = "float32"  # used for activations in training; weights are always float32
    split: str = "35k/15k"  # a key of training.dataset.cifar10.SPLITS
    train_images: int | None = None  # number of training images to use; None means all

    def lr_factor(self, step: int, steps_per_epoch: int, epochs: int) -> float:
        """Return the learning rate at `step` (counted from 0), divided by the peak learning rate.

        The schedule "step" is the StepLR(step_size=3, gamma=0.03) of the report's listing 10. We
        step it once per epoch.
        """
        warmup = self.warmup_epochs * steps_per_epoch
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if self.schedule == "step":
            return 0.03 ** (step // steps_per_epoch // 3)
        progress = (step - warmup) / max(1, epochs * steps_per_epoch - warmup)
        if self.schedule == "linear":
            return 1 - progress
        return (1 + math.cos(math.pi * progress)) / 2

    @property
    def uses_progress(self) -> bool:
        """Whether an augmentation may change while a run progresses."""
        return not all(getattr(each, "ignores_progress", False) for each in self.augmentations)

    @property
    def depends_on_length(self) -> bool:
        """Whether a run with this recipe differs from the first epochs of a longer run."""
        averages = self.ema > 0  # if so, batch-norm statistics are re-estimated at the run's end
        return self.schedule != "step" or averages or self.uses_progress

    def settings(self) -> dict[str, str]:
        """Return {field: repr(value)}, because JSON cannot store values that are dataclasses."""
        return {name: repr(value) for name, value in vars(self).items()}
