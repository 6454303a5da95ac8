"""Train one experiment with one seed, and save the state from which the run can be resumed.

The seed and the step determine every random draw: the initial weights, the order of the images,
augmentation and dropout. A resumed run therefore takes exactly the same steps as an uninterrupted
run, without any saved random state. Runs with the same settings, seed and device also take the same
steps. On a GPU, steps are reproducible only in float32.
"""

import contextlib
import math
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mobilenetv3_cifar.files import replace_files
from mobilenetv3_cifar.variants import HISTORY_FILE
from training.dataset.cifar10 import Cifar10, overlap
from training.errors import TrainingError
from training.experiments import Experiment
from training.loop import checkpoint
from training.loop.checkpoint import State
from training.loop.devices import make_accelerator, sum_over_processes
from training.loop.learner import Learner
from training.loop.provenance import environment
from training.loop.run_folder import check_settings, locked, newest, to_csv
from training.loop.signals import deferred_signals
from training.loop.validation import correct_and_loss, split_logits

CHECKPOINT_SECONDS = 120
COLLECT_STEPS = 50  # steps between readings of the loss: each reading waits for the device


class Run:
    """One experiment with one seed, in one folder.

    The runs of the experiments in `shorter` are identical to the first epochs of this run, so this
    run saves them too.
    """

    def __init__(
        self,
        experiment: Experiment,
        data: Cifar10,
        path: Path,
        shorter: Sequence[Experiment] = (),
        *,
        seed: int = 0,
        device: str | None = None,
        log_dir: Path | None = None,
    ) -> None:
        self.experiment, self.seed, self.shorter = experiment, seed, shorter
        last = checkpoint.read(path)
        trains = not last or len(last[1].history) < experiment.epochs
        self.accelerator = make_accelerator(device, experiment.recipe.precision, log_dir, trains)
        self.device = self.accelerator.device
        self.data = data._replace(train=data.train.take(slice(experiment.recipe.train_images)))
        runs = path.parent.parent
        self.learner = Learner(experiment, self.data.train, self.accelerator, seed, runs)
        self.folder, self.state, self.saved = path, State(), time.monotonic()

    def settings(self) -> dict[str, Any]:
        """Return the settings that must not change when the run is resumed."""
        return {
            **{name: repr(value) for name, value in self.experiment.model.items()},
            **self.experiment.recipe.settings(),
            "epochs": self.experiment.epochs,
            "seed": self.seed,
            "images": len(self.data.train),
            "data_sha256": self.data.sha256,
            "processes": self.accelerator.num_processes,
            "teacher_sha256": self.learner.loss.teacher_sha256,
        }

    def train(self) -> None:
        """Train to the end. On SIGINT or SIGTERM, save the state and exit."""
        first = self.accelerator.is_main_process
        lock = locked(self.folder) if first else contextlib.nullcontext()
        with lock, deferred_signals() as signals:
            self.resume()
            self.accelerator.init_trackers(f"{self.experiment.name}/{self.folder.name}")
            images, epochs = len(self.data.train), self.experiment.epochs
            with tqdm(
                total=epochs * images,
                initial=len(self.state.history) * images + int(self.state.total),
                unit="img",
                desc=self.experiment.name,
                mininterval=0.5 if sys.stderr.isatty() else 30,  # seconds; a log needs fewer lines
                disable=not first,
            ) as bar:
                for epoch in range(len(self.state.history), epochs):
                    self.train_epoch(epoch, signals, bar)
                    self.finish_epoch(epoch, signals, bar)
            self.accelerator.end_training()

    def resume(self) -> None:
        tensors, self.state = newest(self.folder, self.settings(), environment(self.device))
        if tensors:
            checkpoint.unpack(tensors, *self.learner.saved)
        for row in self.shorter:
            # Refuse checkpoints with other settings: they could be published as the shorter runs.
            if earlier := checkpoint.read(self.folder_of(row)):
                check_settings(self.folder_of(row), earlier[2], self.settings_of(row))
        teacher = int((self.learner.loss.teacher_sha256 or "0")[:8], 16)
        local = torch.tensor([self.state.step, teacher], dtype=torch.float64)
        sums = sum_over_processes(self.accelerator, local)
        if sums != (local * self.accelerator.num_processes).tolist():
            what = f"the processes found different checkpoints or teachers for {self.folder}"
            raise TrainingError(f"{what}: all processes must share the disk with the runs")

    def train_epoch(self, epoch: int, signals: list[int], bar: "tqdm[Any]") -> None:
        self.learner.model.train()
        end = (epoch + 1) * self.learner.steps_per_epoch
        started = time.monotonic()
        sums: list[Tensor] = []  # results of `Learner.step` since the last call of `collect`
        for step, batch in self.batches(epoch, self.state.step):
            sums.append(self.learner.step(step, batch))
            bar.update(len(batch))
            # With several processes, each check for signals makes all of them wait: check rarely.
            stopping = signals and self.accelerator.num_processes == 1
            if step + 1 < end and step % COLLECT_STEPS and not stopping:
                continue
            now = time.monotonic()
            self.collect(step + 1, sums, now - started)
            sums, started = [], now
            bar.set_postfix(epoch=epoch + 1, loss=f"{self.state.loss_sum / self.state.total:.3f}")
            self.save_if_due(signals)

    def batches(self, epoch: int, start: int) -> Iterator[tuple[int, Tensor]]:
        """Yield (step, image indices) for each step from `start` to the end of `epoch`."""
        permutation = np.random.default_rng((self.seed, epoch)).permutation(len(self.data.train))
        order = torch.from_numpy(permutation).to(self.device)
        first = epoch * self.learner.steps_per_epoch
        batches = order.split(self.experiment.recipe.batch_size)
        yield from enumerate(batches[start - first :], start)

    def collect(self, step: int, sums: list[Tensor], seconds: float) -> None:
        """Add the latest `sums` and `seconds` to the state. `step` is the number of steps so far.

        The sums are exact in float64, so they do not depend on how often this method is called.
        """
        local_sums = torch.stack(sums).cpu().double().sum(0)
        loss_sum, correct, total = sum_over_processes(self.accelerator, local_sums)
        self.state.step = step
        self.state.loss_sum += loss_sum
        self.state.correct += correct
        self.state.total += total
        self.state.seconds += seconds
        if not math.isfinite(self.state.loss_sum):
            what = f"the loss is {self.state.loss_sum} at step {step}; the newest checkpoint in"
            raise TrainingError(f"{what} {self.folder} is from an earlier step")

    def finish_epoch(self, epoch: int, signals: list[int], bar: "tqdm[Any]") -> None:
        """Validate, add a row for `epoch` to the history, and save the state if a save is due."""
        started = time.monotonic()
        ended, per_epoch = epoch + 1 == self.experiment.epochs, self.learner.steps_per_epoch
        if ended:
            self.learner.reestimate_batch_norm(self.batches(epoch, epoch * per_epoch))
        correct, loss_sum = self.validate()
        state, images = self.state, len(self.data.validation)
        row = {
            "epoch": epoch + 1,
            "lr": self.experiment.lr(epoch * per_epoch, per_epoch),
            "train_loss": state.loss_sum / state.total,
            "train_accuracy": state.correct / state.total,
            "valid_loss": loss_sum / images,
            "valid_accuracy": correct / images,
            "seconds": state.seconds + time.monotonic() - started,
        }
        state.history.append(row)
        rate = len(self.data.train) / state.seconds  # validation does not count
        state.loss_sum = state.correct = state.total = state.seconds = 0.0
        # Save the shorter runs before this run. If this run were saved first and then killed, it
        # would resume after this epoch and never save the shorter runs.
        self.save_shorter_runs()
        if self.accelerator.is_main_process:
            replace_files(self.folder, {HISTORY_FILE: to_csv(state.history)})
            text = ", ".join(f"{key} {value:.5g}" for key, value in row.items())
            bar.write(f"{self.experiment.name}: {text}", file=sys.stderr)
        self.accelerator.log({**row, "images_per_second": rate}, step=state.step)
        self.save_if_due(signals, ended)

    def validate(self) -> list[float]:
        """Validate with all processes, and return [correct predictions, sum of losses].

        Return NaNs if the network was trained on the validation images.
        """
        recipe = self.experiment.recipe
        if overlap(recipe.split, recipe.split):
            return [math.nan, math.nan]
        if self.accelerator.num_processes > 1:
            for network in (self.learner.bare_model, self.learner.result):
                # The processes' batch-norm statistics can differ, so all use those of process 0.
                for buffer in network.buffers():
                    torch.distributed.broadcast(buffer, 0)
        split = self.data.validation.take(self.learner.part)
        sums = correct_and_loss(split_logits(self.learner.result, split), split.labels)
        return sum_over_processes(self.accelerator, torch.tensor(sums, dtype=torch.float64))

    def save_if_due(self, signals: list[int], ended: bool = False) -> None:
        """Save the state every two minutes and when training ends. On a signal, save and exit."""
        overdue = time.monotonic() - self.saved > CHECKPOINT_SECONDS
        asked = torch.tensor([float(bool(signals)), float(ended or overdue)])
        stopping, due = sum_over_processes(self.accelerator, asked)
        if stopping or due:
            self.save()
        if stopping:
            number = signals[0] if signals else signal.SIGTERM
            if self.accelerator.is_main_process:
                name = signal.Signals(number).name
                print(f"stopped by {name}; the same command resumes the run", file=sys.stderr)
            sys.exit(128 + number)  # the status that shells report for a process ended by a signal

    def save(self) -> None:
        self.save_in(self.folder, self.settings())
        self.accelerator.wait_for_everyone()
        self.saved = time.monotonic()

    def save_shorter_runs(self) -> None:
        """Save the state as the finished run of each shorter experiment that ends at this epoch."""
        for row in self.shorter:
            if row.epochs == len(self.state.history):
                self.save_in(self.folder_of(row), self.settings_of(row))

    def folder_of(self, row: Experiment) -> Path:
        return self.folder.parent.parent / row.name / self.folder.name

    def settings_of(self, row: Experiment) -> dict[str, Any]:
        return self.settings() | {"epochs": row.epochs}

    def save_in(self, folder: Path, settings: dict[str, Any]) -> None:
        if not self.accelerator.is_main_process:
            return
        try:
            checkpoint.write(folder, checkpoint.pack(*self.learner.saved), self.state, settings)
        except OSError as error:
            what = f"cannot write a checkpoint in {folder}: {error}"
            raise TrainingError(f"{what}; the previous checkpoint is intact") from error
