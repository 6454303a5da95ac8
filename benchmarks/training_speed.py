"""The trainer's images per second over the plain way's, both sides in turn in one run.

    python -m benchmarks.training_speed small

The plain way: torchvision's transforms in a DataLoader with two workers, NCHW, glibc as it comes.
Ours: `training.loop.run`'s step. Each side has a process of its own, since glibc stays as it was
told; they run a round each in turn, and the ratio is the median of the rounds' ratios.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from training.dataset.sample import tiny_dataset
from training.experiments import Experiment
from training.loop.run import Run

BATCH_SIZE = 64
WARM_UP = 3  # steps of each side before its rounds
MODELS: dict[str, dict[str, Any]] = {
    size: {"size": size, "dropout": 0.7} for size in ("small", "large")
}


class Pictures(Dataset):
    """The sample's pictures again and again, through the report's listing 1."""

    def __init__(self, count: int) -> None:
        self.data, self.count = tiny_dataset().train, count
        self.transform = transforms.Compose(
            [
                transforms.Resize((224, 224)),
                transforms.RandomHorizontalFlip(),
                transforms.RandomRotation(10),
                transforms.ToTensor(),
                transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ]
        )

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        index %= len(self.data)
        picture = Image.fromarray(self.data.images[index])
        return self.transform(picture), int(self.data.labels[index])


def plain_side(size: str, steps: int) -> None:
    """Wait for a line on stdin, train `steps` steps, print the seconds; again and again."""
    torch.manual_seed(0)
    model = MobileNetV3Cifar(**MODELS[size]).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def train(count: int) -> None:
        loader = DataLoader(Pictures(count * BATCH_SIZE), BATCH_SIZE, shuffle=True, num_workers=2)
        for inputs, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()

    answer_rounds(train, steps)


def our_side(size: str, steps: int) -> None:
    run = Run(Experiment("speed", MODELS[size], 1), tiny_dataset(), Path(), device="cpu")
    run.learner.model.train()
    indices = torch.arange(BATCH_SIZE)

    def train(count: int) -> None:
        for step in range(count):
            run.learner.step(step, indices)

    answer_rounds(train, steps)


def answer_rounds(train: Callable[[int], None], steps: int) -> None:
    train(WARM_UP)
    print("ready", flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        train(steps)
        print(time.perf_counter() - begun, flush=True)


def start(side: str, size: str, steps: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "benchmarks.training_speed", size, "--side", side]
    command += ["--steps", str(steps)]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert worker.stdout
    assert worker.stdout.readline() == "ready\n"
    return worker


def ask(worker: subprocess.Popen) -> float:
    assert worker.stdin
    assert worker.stdout
    worker.stdin.write("\n")
    worker.stdin.flush()
    return float(worker.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_speed")
    parser.add_argument("size", choices=["small", "large"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="optimiser steps a round")
    parser.add_argument("--side", choices=["plain", "ours"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        side = plain_side if arguments.side == "plain" else our_side
        side(arguments.size, arguments.steps)
        return
    plain, ours = (start(side, arguments.size, arguments.steps) for side in ("plain", "ours"))
    pictures, rounds = arguments.steps * BATCH_SIZE, []
    for number in range(1, arguments.rounds + 1):
        seconds = ask(plain), ask(ours)
        rounds.append(seconds)
        rates = [pictures / each for each in seconds]
        print(f"round {number}: plain {rates[0]:.1f}, ours {rates[1]:.1f} images/s")
    ratio = statistics.median(slow / fast for slow, fast in rounds)
    print(f"median ratio, ours over plain: {ratio:.2f}")
    for worker in (plain, ours):
        worker.communicate()


if __name__ == "__main__":
    main()
