"""One experiment with one seed: the training loop, its step, and the state it can go on from.

Every random draw is a function of the seed and the step: initial weights, order of the pictures,
flips, angles and dropout. A resumed run therefore needs no random state to go on bit for bit, and
runs that share a seed share their steps. Source: the report's listing 10.
"""

import contextlib
import dataclasses
import math
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from mobilenetv3_cifar import MobileNetV3Cifar
from training.dataset.cifar10 import Cifar10
from training.errors import TrainingError
from training.experiments import BATCH_SIZE, EXPERIMENTS, Experiment
from training.loop.augment import augment, draw
from training.loop.checkpoint import State
from training.loop.devices import any_process, make_accelerator, sum_over_processes
from training.loop.provenance import environment
from training.loop.run_folder import RunFolder
from training.loop.stopping import Stopped, StopSignals
from training.loop.validation import correct_and_loss, split_logits

CHECKPOINT_SECONDS = 120
GLANCE_STEPS = 10  # between two looks at the loss, which wait for the device


class Run:
    """One experiment with one seed, in one folder."""

    def __init__(
        self,
        experiment: Experiment,
        data: Cifar10,
        path: Path,
        *,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        self.experiment, self.data, self.seed = experiment, data, seed
        self.accelerator = make_accelerator(device)
        self.steps_per_epoch = math.ceil(len(data.train) / BATCH_SIZE)
        torch.manual_seed(seed)
        model = MobileNetV3Cifar(size=experiment.size, dropout=experiment.dropout)
        if self.accelerator.num_processes > 1 and self.accelerator.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        model = model.to(self.accelerator.device).to(memory_format=torch.channels_last)
        lr = experiment.lr(0, self.steps_per_epoch)
        optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.bare_model: MobileNetV3Cifar = self.accelerator.unwrap_model(self.model)
        where = environment(self.accelerator.device)
        self.folder = RunFolder(path, self.settings(), where)
        self.state = State()

    @property
    def rank(self) -> int:
        return self.accelerator.process_index

    def settings(self) -> dict[str, Any]:
        """What a resumed run must share with its beginning."""
        row = dataclasses.asdict(self.experiment)
        what = {key: row[key] for key in ("size", "dropout", "epochs", "schedule")}
        return what | {
            "seed": self.seed,
            "pictures": len(self.data.train),
            "data_sha256": self.data.sha256,
            "processes": self.accelerator.num_processes,
            "precision": self.accelerator.mixed_precision,
        }

    def train(self) -> None:
        """Train to the end; the folder then holds the final state.

        Raises:
            Stopped: a signal came; the state is saved.
            TrainingError: the loss is not finite, the disk is full, another trainer has the folder,
                or it was begun with other settings.
        """
        first = self.accelerator.is_main_process
        with self.folder.locked() if first else contextlib.nullcontext(), StopSignals() as stop:
            self.state = self.folder.resume(self.bare_model, self.optimizer.optimizer)
            pictures, epochs = len(self.data.train), self.experiment.epochs
            with tqdm(
                total=epochs * pictures,
                initial=len(self.state.history) * pictures + int(self.state.total),
                unit="img",
                desc=self.experiment.name,
                mininterval=0.5 if sys.stderr.isatty() else 30,  # seconds; a log wants fewer lines
                disable=not first,
            ) as bar:
                for epoch in range(len(self.state.history), epochs):
                    self.train_epoch(epoch, stop, bar)
                    self.finish_epoch(epoch, stop, bar)

    def train_epoch(self, epoch: int, stop: StopSignals, bar: "tqdm[Any]") -> None:
        """The rest of one epoch, from wherever `state` stands."""
        self.model.train()
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.data.train))
        first, end = epoch * self.steps_per_epoch, (epoch + 1) * self.steps_per_epoch
        begun = saved = time.monotonic()
        found: list[Tensor] = []  # by the steps since the last collection
        for step in range(self.state.step, end):
            batch = order[(step - first) * BATCH_SIZE :][:BATCH_SIZE]
            found.append(self.train_step(step, batch))
            bar.update(len(batch))
            now = time.monotonic()
            save = self.any_process(bool(stop.received) or now - saved > CHECKPOINT_SECONDS)
            if save or step + 1 == end or step % GLANCE_STEPS == 0:
                self.collect(step + 1, found, now - begun)
                found, begun = [], now
                loss = self.state.loss_sum / self.state.total
                bar.set_postfix(epoch=epoch + 1, loss=f"{loss:.3f}")
            if save:
                self.save()
                saved = now
                self.stop_if_asked(stop)

    def train_step(self, step: int, batch: np.ndarray) -> Tensor:
        """One optimiser step on the pictures `batch` -> this share's [loss sum, correct, count].

        The batch is that of all processes together; each takes its share, gradients are averaged.
        """
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        flips, angles = draw(len(batch), generator)
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)) + self.rank)  # dropout
        share = slice(self.rank, None, self.accelerator.num_processes)
        taken = self.data.train.take(batch[share])
        device = self.accelerator.device
        inputs = augment(
            torch.from_numpy(taken.images).to(device),
            flips[share].to(device),
            angles[share].to(device),
            self.bare_model.config.image_size,
        ).contiguous(memory_format=torch.channels_last)
        labels = torch.from_numpy(taken.labels).long().to(device)

        for group in self.optimizer.param_groups:
            group["lr"] = self.experiment.lr(step, self.steps_per_epoch)
        logits = self.model(inputs)
        loss_sum = nn.functional.cross_entropy(logits, labels, reduction="sum")
        self.optimizer.zero_grad()
        self.accelerator.backward(loss_sum * (self.accelerator.num_processes / len(batch)))
        self.optimizer.step()
        correct = (logits.argmax(1) == labels).sum()
        return torch.stack([loss_sum.detach(), correct, correct.new_tensor(len(labels))])

    def collect(self, step: int, found: list[Tensor], seconds: float) -> None:
        """Add what all processes found in the steps since the last time to the state.

        In float64 such sums are exact, so they do not depend on how often they were collected.
        """
        mine = torch.stack(found).cpu().double().sum(0)
        loss_sum, correct, total = sum_over_processes(self.accelerator, mine)
        self.state.step = step
        self.state.loss_sum += loss_sum
        self.state.correct += correct
        self.state.total += total
        self.state.seconds += seconds
        if not math.isfinite(self.state.loss_sum):
            raise TrainingError(
                f"the loss is {self.state.loss_sum} at step {step}; "
                f"the newest checkpoint in {self.folder.path} is from before"
            )

    def finish_epoch(self, epoch: int, stop: StopSignals, bar: "tqdm[Any]") -> None:
        """Validate, add the epoch's row to the history, and save."""
        self.save()
        begun = time.monotonic()
        self.model.eval()
        correct, loss_sum = self.validate()
        state, pictures = self.state, len(self.data.validation)
        row = {
            "epoch": epoch + 1,
            "lr": self.experiment.lr(epoch * self.steps_per_epoch, self.steps_per_epoch),
            "train_loss": state.loss_sum / state.total,
            "train_accuracy": state.correct / state.total,
            "valid_loss": loss_sum / pictures,
            "valid_accuracy": correct / pictures,
            "seconds": state.seconds + time.monotonic() - begun,
        }
        state.history.append(row)
        state.loss_sum = state.correct = state.total = state.seconds = 0.0
        self.save_shorter_run()  # first: an epoch that is saved is never gone through again
        self.save()
        text = ", ".join(f"{key} {value:.5g}" for key, value in row.items())
        bar.write(f"{self.experiment.name}: {text}", file=sys.stderr)
        self.stop_if_asked(stop)

    def validate(self) -> list[float]:
        """[correct predictions, sum of losses] over the validation split, by all processes."""
        mine = self.data.validation.take(slice(self.rank, None, self.accelerator.num_processes))
        sums = correct_and_loss(split_logits(self.bare_model, mine), mine.labels)
        return sum_over_processes(self.accelerator, torch.tensor(sums, dtype=torch.float64))

    def save(self) -> None:
        if self.accelerator.is_main_process:
            self.folder.save(self.bare_model, self.optimizer.optimizer, self.state)
        self.accelerator.wait_for_everyone()

    def save_shorter_run(self) -> None:
        """Save the end of an experiment whose whole run this one has just been through."""
        for row in EXPERIMENTS.values():
            if row.shares_prefix_with(self.experiment) and row.epochs == len(self.state.history):
                path = self.folder.path.parent.parent / row.name / self.folder.path.name
                settings = self.folder.settings | {"epochs": row.epochs}
                if self.accelerator.is_main_process:
                    shorter = RunFolder(path, settings, self.folder.environment)
                    shorter.save(self.bare_model, self.optimizer.optimizer, self.state)

    def stop_if_asked(self, stop: StopSignals) -> None:
        if self.any_process(bool(stop.received)):
            raise Stopped(stop.received or signal.SIGTERM)

    def any_process(self, mine: bool) -> bool:
        return any_process(self.accelerator, mine)
