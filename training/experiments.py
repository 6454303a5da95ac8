"""Every experiment is one row: the report's eight, and the control that tests its schedule.

Adam at 1e-3 with cross entropy and batches of 64 (listing 10) is common to all of them; a row says
what differs. `report` holds the figures as the report prints them.
"""

import math
from dataclasses import dataclass
from typing import Literal

from mobilenetv3_cifar.config import Size

BATCH_SIZE = 64
PEAK_LR = 1e-3  # Adam's rate in the first epoch


@dataclass(frozen=True)
class Reported:
    """What the report prints for one experiment, all fractions of 1 on the test set."""

    precision: float
    recall: float
    accuracy: float


@dataclass(frozen=True)
class Experiment:
    name: str
    size: Size
    dropout: float
    epochs: int
    schedule: Literal["step", "cosine"] = "step"
    section: str = ""  # where the report describes it
    claim: str = ""  # what the report concludes from it, in our words
    report: Reported | None = None
    seeds: tuple[int, ...] = (0,)  # the first is shipped; the others tell the spread

    def lr(self, step: int, steps_per_epoch: int) -> float:
        """The learning rate of optimiser step `step`, counted from 0 over the whole run.

        "step" is listing 10's StepLR(step_size=3, gamma=0.03), stepped once an epoch; "cosine"
        falls from the same peak to 0 at the end of the run.
        """
        if self.schedule == "step":
            return PEAK_LR * 0.03 ** (step // steps_per_epoch // 3)
        return PEAK_LR * (1 + math.cos(math.pi * step / (self.epochs * steps_per_epoch))) / 2

    def shares_prefix_with(self, other: "Experiment") -> bool:
        """Whether a run of `other` passes through the very states of a run of this one."""
        return (
            self.schedule == other.schedule == "step"  # a cosine depends on the length of the run
            and (self.size, self.dropout) == (other.size, other.dropout)
            and self.epochs < other.epochs
        )


# fmt: off
ROWS = [
    Experiment("small-dropout0.7-epochs4", "small", 0.7, 4, section="section 9, figure 4",
               claim="it is the best small setting, and generalises", seeds=(0, 1, 2),
               report=Reported(0.7458877999762664, 0.7465, 0.7465)),
    Experiment("small-dropout0.7-epochs5", "small", 0.7, 5, section="section 9, figure 5",
               claim="it is slightly better than four epochs, and begins to overfit",
               seeds=(0, 1, 2)),
    Experiment("small-dropout0-epochs10", "small", 0.0, 10, section="section 10, figure 6",
               claim="it overfits: validation accuracy stands still from epoch 6",
               report=Reported(0.7675353432051456, 0.7676, 0.7676)),
    Experiment("small-dropout0.9-epochs3", "small", 0.9, 3, section="section 10, figure 7",
               claim="it underfits", seeds=(0, 1, 2),
               report=Reported(0.6941715863943863, 0.6930, 0.6930)),
    Experiment("large-dropout0.7-epochs4", "large", 0.7, 4, section="section 11, figure 8",
               claim="it is slightly better than the small network",
               report=Reported(0.7624977661099234, 0.7618, 0.7618)),
    Experiment("large-dropout0.7-epochs5", "large", 0.7, 5, section="section 12, figure 9",
               claim="it still improves, and shows no sign of overfitting",
               report=Reported(0.7726209060673617, 0.7746, 0.7746)),
    Experiment("large-dropout0-epochs10", "large", 0.0, 10, section="section 12, figure 10",
               claim="it overfits: validation gains are marginal from epoch 5",
               report=Reported(0.7871469448523931, 0.7883, 0.7883)),
    Experiment("large-dropout0.9-epochs3", "large", 0.9, 3, section="section 12, figure 11",
               claim="it underfits",
               report=Reported(0.7105702294239662, 0.7094, 0.7094)),
    Experiment("small-dropout0-epochs10-cosine", "small", 0.0, 10, schedule="cosine",
               claim="with small-dropout0-epochs10's settings and another schedule, does it pass "
                     "80 %?"),
]
# fmt: on
EXPERIMENTS = {row.name: row for row in ROWS}
