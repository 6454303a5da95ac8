"""A training step, data loading included: the trainer against the ordinary way, in turn.

    python -m benchmarks.training_speed small-224

The ordinary way: torchvision's transforms in a DataLoader with two workers, NCHW, Adam, the default
allocator. Ours: `training.loop.run`'s step. Each side has a process of its own, since the trainer
changes settings of the allocator; they run one round each in turn.
"""

import argparse
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

from benchmarks.measure import Comparison
from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from training.dataset.sample import tiny_dataset
from training.experiments import EXPERIMENTS, REPORT, Experiment
from training.loop.augmentation import augment
from training.loop.draws import Draws
from training.loop.run import Run

BATCH_SIZE = 64
WARM_UP = 3  # steps of each side before its rounds
MODELS: dict[str, dict[str, Any]] = {
    f"{size}-{pixels}": {"size": size, "blocks": blocks, "dropout": 0.7}
    for size in ("small", "large")
    for pixels, blocks in ((224, "report"), (32, "cifar32"))
}
# Ours at 32x32 is trained by the recipe of the shipped networks, augmentation and optimiser too.
RECIPES = {
    name: REPORT if name.endswith("224") else EXPERIMENTS["small-cifar32"].recipe for name in MODELS
}


class Images(Dataset):
    """The sample's images again and again, with the report's augmentation (listing 1)."""

    def __init__(self, count: int, size: int) -> None:
        self.data, self.count = tiny_dataset().train, count
        self.transform = transforms.Compose(
            [
                transforms.Resize((size, size)),
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
        image = Image.fromarray(self.data.images[index])
        return self.transform(image), int(self.data.labels[index])


def loader(count: int, size: int) -> DataLoader:
    return DataLoader(Images(count, size), BATCH_SIZE, shuffle=True, num_workers=2)


def plain_side(name: str, steps: int) -> None:
    torch.manual_seed(0)
    model = MobileNetV3Cifar(**MODELS[name]).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def train(count: int) -> None:
        for inputs, labels in loader(count * BATCH_SIZE, model.config.image_size):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()

    answer_rounds(train, steps)


def our_side(name: str, steps: int) -> None:
    run = make_run(name)
    run.learner.model.train()
    indices = torch.arange(BATCH_SIZE)

    def train(count: int) -> None:
        for step in range(count):
            run.learner.step(step, indices)

    answer_rounds(train, steps)


def make_run(name: str) -> Run:
    experiment = Experiment("speed", MODELS[name], 1, RECIPES[name])
    return Run(experiment, tiny_dataset(), Path(), device="cpu")


def load_batches(run: Run, steps: int) -> None:
    """What the trainer does in `steps` steps before the network: pick, augment, normalise."""
    learner, indices = run.learner, torch.arange(BATCH_SIZE)
    targets = torch.zeros(BATCH_SIZE, learner.bare_model.config.num_classes)
    for step in range(steps):
        draws = Draws(0, step, count=BATCH_SIZE, indices=indices, progress=0.5)
        images = learner.images[indices]
        augment(images, targets, learner.recipe.augmentations, draws, learner.norm)


def answer_rounds(train: Callable[[int], None], steps: int) -> None:
    """Wait for a line on stdin, train `steps` steps, print the seconds; again and again."""
    train(WARM_UP)
    print("ready", flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        train(steps)
        print(time.perf_counter() - begun, flush=True)


def start(side: str, name: str, steps: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "benchmarks.training_speed", name, "--side", side]
    command += ["--steps", str(steps)]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert worker.stdout
    if worker.stdout.readline() != "ready\n":
        sys.exit(f"error: {' '.join(command)} stopped")
    return worker


def ask(worker: subprocess.Popen) -> float:
    assert worker.stdin
    assert worker.stdout
    worker.stdin.write("\n")
    worker.stdin.flush()
    return float(worker.stdout.readline())


def compare(name: str, rounds: int, steps: int) -> Comparison:
    workers = [start(side, name, steps) for side in SIDES]
    try:
        seconds = [[ask(worker) / steps for worker in workers] for _ in range(rounds)]
    finally:
        for worker in workers:
            worker.communicate()
    ours, theirs = zip(*seconds, strict=True)
    what = f"training step of {BATCH_SIZE} images, {name}"
    return Comparison(what, "torchvision transforms, DataLoader and Adam", ours, theirs)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_speed")
    parser.add_argument("name", choices=MODELS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="optimiser steps per round")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        SIDES[arguments.side](arguments.name, arguments.steps)
        return
    print(" | ".join(compare(arguments.name, arguments.rounds, arguments.steps).row()))


SIDES = {"ours": our_side, "plain": plain_side}

if __name__ == "__main__":
    main()
