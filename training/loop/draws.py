"""Draw a training step's random numbers, which depend only on the seed, step and device."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor


@dataclass
class Draws:
    """The random numbers of one training step.

    Every training process draws the numbers for all images of the batch, but uses only the numbers
    for its own N images. It draws them on the training device, to avoid a copy from the host.
    """

    seed: int
    step: int
    count: int  # number of images in the whole batch
    indices: Tensor  # int64 (N,), the positions of this process's images in the dataset split
    epoch: int = 0
    progress: float = 0.0  # share of the run that precedes this step, from 0 to 1
    part: slice = field(default_factory=lambda: slice(None))  # this process's part of the batch

    def __post_init__(self) -> None:
        seed, self.device = self.seed * 1_000_003 + self.step, self.indices.device
        self.host_generator = self.generator = torch.Generator().manual_seed(seed)
        if self.device.type != "cpu":
            self.generator = torch.Generator(self.device).manual_seed(seed)
        self.batch_generator = np.random.default_rng((self.seed, self.step))  # for the whole batch

    def uniform(self) -> Tensor:
        """Draw a random number in [0, 1) for each of the N images, as float32 (N,)."""
        return torch.rand(self.count, generator=self.generator, device=self.device)[self.part]

    def integers(self, end: int) -> Tensor:
        """Draw a random integer from 0 to `end` - 1 for each of the N images, as int64 (N,)."""
        size, generator = (self.count,), self.generator
        return torch.randint(end, size, generator=generator, device=self.device)[self.part]

    def dropout_seed(self) -> int:
        """Draw a seed for torch's global generators, which a step uses only for dropout."""
        return int(torch.randint(2**62, (), generator=self.host_generator))


class Normalization:
    def __init__(self, mean: Sequence[float], std: Sequence[float], device: torch.device) -> None:
        self.mean = torch.tensor(mean, device=device).view(3, 1, 1)
        self.std = torch.tensor(std, device=device).view(3, 1, 1)
        self.black = (0 - self.mean[None]) / self.std  # the normalised value of a black pixel
