"""One experiment with one seed: the training loop, its step, and the state it resumes from.

Every random draw is a function of the seed and the step: initial weights, order of the images,
augmentation and dropout. A resumed run therefore needs no random state to continue bit for bit, and
runs that share a seed share their steps.
"""

import contextlib
import math
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from training.dataset.cifar10 import Cifar10
from training.errors import TrainingError
from training.experiments import EXPERIMENTS, Experiment
from training.loop.averaging import reestimate_batch_norm
from training.loop.checkpoint import State
from training.loop.devices import any_process, make_accelerator, sum_over_processes
from training.loop.learner import Learner
from training.loop.provenance import environment
from training.loop.run_folder import RunFolder
from training.loop.stopping import Stopped, StopSignals
from training.loop.validation import correct_and_loss, split_logits

CHECKPOINT_SECONDS = 120
COLLECT_STEPS = 10  # between two readings of the loss, which wait for the device


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
        log_dir: Path | None = None,
    ) -> None:
        self.experiment, self.recipe, self.seed = experiment, experiment.recipe, seed
        logs = str(log_dir) if log_dir else None
        self.accelerator = make_accelerator(device, self.recipe.precision, logs)
        self.device = self.accelerator.device
        self.data = data._replace(train=data.train.take(slice(self.recipe.train_images)))
        self.learner = Learner(
            experiment,
            self.data.train,
            self.accelerator,
            seed=seed,
            runs=path.parent.parent,
        )
        self.steps_per_epoch = self.learner.steps_per_epoch
        self.folder = RunFolder(path, self.settings(), environment(self.device))
        self.state, self.saved = State(), time.monotonic()

    @property
    def rank(self) -> int:
        return self.accelerator.process_index

    def settings(self) -> dict[str, Any]:
        """What a resumed run must share with its beginning."""
        return {
            **{name: repr(value) for name, value in self.experiment.model.items()},
            **self.recipe.settings(),
            "epochs": self.experiment.epochs,
            "seed": self.seed,
            "images": len(self.data.train),
            "data_sha256": self.data.sha256,
            "processes": self.accelerator.num_processes,
            "teacher_sha256": self.learner.loss.teacher_sha256,
        }

    def train(self) -> None:
        """Train to the end; the folder then holds the final state.

        Raises:
            Stopped: a signal came; the state is saved.
            TrainingError: the loss is not finite, the disk is full, another trainer has the folder,
                it was begun with other settings, or the processes do not share it.
        """
        first = self.accelerator.is_main_process
        with self.folder.locked() if first else contextlib.nullcontext(), StopSignals() as stop:
            optimizer = self.learner.optimizer.optimizer
            self.state = self.folder.resume(
                self.learner.bare_model, optimizer, self.learner.average
            )
            self.check_processes_agree()
            self.accelerator.init_trackers(self.experiment.name)
            images, epochs = len(self.data.train), self.experiment.epochs
            with tqdm(
                total=epochs * images,
                initial=len(self.state.history) * images + int(self.state.total),
                unit="img",
                desc=self.experiment.name,
                mininterval=0.5 if sys.stderr.isatty() else 30,  # seconds; a log wants fewer lines
                disable=not first,
            ) as bar:
                for epoch in range(len(self.state.history), epochs):
                    self.train_epoch(epoch, stop, bar)
                    self.finish_epoch(epoch, stop, bar)
            self.accelerator.end_training()

    def check_processes_agree(self) -> None:
        total = sum_over_processes(self.accelerator, torch.tensor([float(self.state.step)]))[0]
        if total != self.state.step * self.accelerator.num_processes:
            raise TrainingError(
                f"process {self.rank} found step {self.state.step} in {self.folder.path}, others "
                "another one: all machines must share the folder of the run"
            )

    def train_epoch(self, epoch: int, stop: StopSignals, bar: "tqdm[Any]") -> None:
        """The rest of one epoch, from wherever `state` stands."""
        self.learner.model.train()
        batch_size, images = self.recipe.batch_size, len(self.data.train)
        permutation = np.random.default_rng((self.seed, epoch)).permutation(images)
        order = torch.from_numpy(permutation).to(self.device)
        first, end = epoch * self.steps_per_epoch, (epoch + 1) * self.steps_per_epoch
        begun = time.monotonic()
        sums: list[Tensor] = []  # of the steps since the last collection
        for step in range(self.state.step, end):
            batch = order[(step - first) * batch_size :][:batch_size]
            sums.append(self.learner.step(step, batch))
            bar.update(len(batch))
            now = time.monotonic()
            # Several processes agree on a signal only now and then: it makes them wait.
            stopping = bool(stop.received) and self.accelerator.num_processes == 1
            if step + 1 < end and step % COLLECT_STEPS and not stopping:
                continue
            self.collect(step + 1, sums, now - begun)
            sums, begun = [], now
            bar.set_postfix(epoch=epoch + 1, loss=f"{self.state.loss_sum / self.state.total:.3f}")
            self.save_if_due(bool(stop.received))
            self.stop_if_asked(stop)

    def collect(self, step: int, sums: list[Tensor], seconds: float) -> None:
        """Add what all processes counted in the steps since the last time to the state.

        In float64 such sums are exact, so they do not depend on how often they were collected.
        """
        mine = torch.stack(sums).cpu().double().sum(0)
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
        self.save_if_due()
        begun = time.monotonic()
        if self.learner.average is not None and epoch + 1 == self.experiment.epochs:
            reestimate_batch_norm(self.learner.average, self.learner.images)
        correct, loss_sum = self.validate()
        state, images = self.state, len(self.data.validation)
        row = {
            "epoch": epoch + 1,
            "lr": self.experiment.lr(epoch * self.steps_per_epoch, self.steps_per_epoch),
            "train_loss": state.loss_sum / state.total,
            "train_accuracy": state.correct / state.total,
            "valid_loss": loss_sum / images,
            "valid_accuracy": correct / images,
            "seconds": state.seconds + time.monotonic() - begun,
        }
        state.history.append(row)
        state.loss_sum = state.correct = state.total = state.seconds = 0.0
        ended = epoch + 1 == self.experiment.epochs
        self.save_shorter_runs()  # first: an epoch that is saved is never gone through again
        self.save_if_due(ended or bool(stop.received))
        if self.accelerator.is_main_process:
            self.folder.write_history(state.history)
            text = ", ".join(f"{key} {value:.5g}" for key, value in row.items())
            bar.write(f"{self.experiment.name}: {text}", file=sys.stderr)
        rate = len(self.data.train) / row["seconds"]
        self.accelerator.log({**row, "images_per_second": rate}, step=state.step)
        self.stop_if_asked(stop)

    def validate(self) -> list[float]:
        """[correct predictions, sum of losses] over the validation split, by all processes."""
        for buffer in (
            self.learner.bare_model.buffers() if self.accelerator.num_processes > 1 else ()
        ):
            torch.distributed.broadcast(buffer, 0)  # batch norm's, where processes keep their own
        mine = self.data.validation.take(self.learner.part)
        sums = correct_and_loss(split_logits(self.learner.result, mine), mine.labels)
        return sum_over_processes(self.accelerator, torch.tensor(sums, dtype=torch.float64))

    def save_if_due(self, asked: bool = False) -> None:
        """Save where a process asks for it, or the last time was two minutes ago."""
        if self.any_process(asked or time.monotonic() - self.saved > CHECKPOINT_SECONDS):
            self.save()

    def save(self) -> None:
        if self.accelerator.is_main_process:
            self.folder.save(self.state, *self.learner.saved)
        self.accelerator.wait_for_everyone()
        self.saved = time.monotonic()

    def save_shorter_runs(self) -> None:
        """Save the end of an experiment whose whole run this one has just been through."""
        for row in EXPERIMENTS.values():
            if row.is_prefix_of(self.experiment) and row.epochs == len(self.state.history):
                path = self.folder.path.parent.parent / row.name / self.folder.path.name
                settings = self.folder.settings | {"epochs": row.epochs}
                if self.accelerator.is_main_process:
                    shorter = RunFolder(path, settings, self.folder.environment)
                    shorter.save(self.state, *self.learner.saved)

    def stop_if_asked(self, stop: StopSignals) -> None:
        if self.any_process(bool(stop.received)):
            raise Stopped(stop.received or signal.SIGTERM)

    def any_process(self, mine: bool) -> bool:
        return any_process(self.accelerator, mine)
