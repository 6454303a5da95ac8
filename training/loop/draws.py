"""Random numbers of a training step, a function of seed and step alone, on the training device."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class Draws:
    """The random numbers of one training step.

    Each is drawn for the whole batch, of which this process takes its part; they are made on the
    training device, so a step copies nothing from the host.
    """

    def __init__(
        self,
        seed: int,
        step: int,
        *,
        count: int,
        indices: Tensor,
        epoch: int = 0,
        progress: float = 0.0,
        part: slice = slice(None),
    ) -> None:
        self.count, self.part = count, part  # images in the batch; those of this process
        self.indices = indices  # int64 (N,), of this process's images in the dataset split
        self.seed, self.epoch, self.progress = seed, epoch, progress  # of the run, from 0 to 1
        self.host_generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        self.generator, self.device = self.host_generator, indices.device
        if self.device.type != "cpu":
            self.generator = torch.Generator(self.device).manual_seed(seed * 1_000_003 + step)
        self.batch = np.random.default_rng((seed, step))  # for choices made once per batch

    def uniform(self) -> Tensor:
        """float32 (N,), uniform in [0, 1)."""
        return torch.rand(self.count, generator=self.generator, device=self.device)[self.part]

    def integers(self, end: int) -> Tensor:
        """int64 (N,), uniform from 0 to end - 1."""
        return torch.randint(end, (self.count,), generator=self.generator, device=self.device)[
            self.part
        ]

    def dropout_seed(self) -> int:
        """A seed for torch's own generators, whose only user is dropout."""
        return int(torch.randint(2**62, (), generator=self.host_generator))


class Normalization:
    """The mean and standard deviation that the images were normalised with, on their device."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], device: torch.device) -> None:
        self.mean = torch.tensor(mean, device=device).view(3, 1, 1)
        self.std = torch.tensor(std, device=device).view(3, 1, 1)
        # What zero, a black pixel, is normalised to.
        self.black = (torch.zeros(1, 3, 1, 1, device=device) - self.mean) / self.std
