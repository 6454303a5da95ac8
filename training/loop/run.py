"""One experiment with one seed: the training loop, its step, and the state it resumes from.

Every random draw is a function of the seed and the step: initial weights, order of the images,
augmentation and dropout. A resumed run therefore needs no random state to continue bit for bit, and
runs that share a seed share their steps.
"""

import contextlib
import copy
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
from training.experiments import EXPERIMENTS, Experiment
from training.loop import averaging
from training.loop.augmentation import Draws, augment
from training.loop.checkpoint import State
from training.loop.devices import any_process, make_accelerator, sum_over_processes
from training.loop.losses import Loss, load_teacher
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
        log_dir: Path | None = None,
    ) -> None:
        self.experiment, self.recipe, self.seed = experiment, experiment.recipe, seed
        logs = str(log_dir) if log_dir else None
        self.accelerator = make_accelerator(device, self.recipe.precision, logs)
        self.device = self.accelerator.device
        self.data = data._replace(train=data.train.take(slice(self.recipe.train_images)))
        self.images = torch.from_numpy(self.data.train.images).to(self.device)
        self.labels = torch.from_numpy(self.data.train.labels).long().to(self.device)
        self.steps_per_epoch = math.ceil(len(self.labels) / self.recipe.batch_size)

        torch.manual_seed(seed)
        model = MobileNetV3Cifar(**experiment.model)
        if self.accelerator.num_processes > 1 and self.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        model = model.to(self.device).to(memory_format=torch.channels_last)
        optimizer = self.recipe.optimizer.build(model)
        self.peak_rates = [group["lr"] for group in optimizer.param_groups]
        self.average = (
            copy.deepcopy(model).eval().requires_grad_(False) if self.recipe.ema else None
        )
        teacher = load_teacher(self.recipe.distillation, path.parent.parent, model.config)
        self.loss = Loss(self.recipe, teacher.to(self.device) if teacher else None)
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.bare_model: MobileNetV3Cifar = self.accelerator.unwrap_model(self.model)
        # Compiling pays where the GPU waits for kernel launches and memory.
        compiled = self.device.type == "cuda" and self.recipe.precision == "bfloat16"
        self.network = torch.compile(self.model) if compiled else self.model
        self.folder = RunFolder(path, self.settings(), environment(self.device))
        self.state = State()

    @property
    def rank(self) -> int:
        return self.accelerator.process_index

    @property
    def part(self) -> slice:
        """This process's images of a batch or split."""
        return slice(self.rank, None, self.accelerator.num_processes)

    @property
    def result(self) -> MobileNetV3Cifar:
        """The network that counts: the moving average where there is one."""
        return self.bare_model if self.average is None else self.average

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
            "teacher_sha256": self.loss.teacher_sha256,
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
            optimizer = self.optimizer.optimizer
            self.state = self.folder.resume(self.bare_model, optimizer, self.average)
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
        self.model.train()
        batch_size, images = self.recipe.batch_size, len(self.data.train)
        permutation = np.random.default_rng((self.seed, epoch)).permutation(images)
        order = torch.from_numpy(permutation).to(self.device)
        first, end = epoch * self.steps_per_epoch, (epoch + 1) * self.steps_per_epoch
        begun = saved = time.monotonic()
        sums: list[Tensor] = []  # of the steps since the last collection
        for step in range(self.state.step, end):
            batch = order[(step - first) * batch_size :][:batch_size]
            sums.append(self.train_step(step, batch))
            bar.update(len(batch))
            now = time.monotonic()
            save = now - saved > CHECKPOINT_SECONDS or bool(stop.received)
            # Several processes only agree on such a thing now and then: it makes them wait.
            alone = self.accelerator.num_processes == 1
            if step + 1 < end and step % GLANCE_STEPS and not (save and alone):
                continue
            self.collect(step + 1, sums, now - begun)
            sums, begun = [], now
            bar.set_postfix(epoch=epoch + 1, loss=f"{self.state.loss_sum / self.state.total:.3f}")
            if self.any_process(save):
                self.save()
                saved = now
                self.stop_if_asked(stop)

    def train_step(self, step: int, batch: Tensor) -> Tensor:
        """One optimizer step on the images `batch` -> this process's [loss sum, correct, count].

        The batch is that of all processes together; each takes its part, gradients are averaged.
        """
        indices = batch[self.part]
        draws = Draws(
            self.seed,
            step,
            count=len(batch),
            indices=indices,
            epoch=step // self.steps_per_epoch,
            progress=step / (self.steps_per_epoch * self.experiment.epochs),
            part=self.part,
        )
        labels, config = self.labels[indices], self.bare_model.config
        targets = nn.functional.one_hot(labels, config.num_classes).float()
        inputs, mixed = augment(
            self.images[indices],
            targets,
            self.recipe.augmentations,
            draws,
            config.mean,
            config.std,
        )
        torch.manual_seed(draws.dropout_seed() + self.rank)

        factor = self.recipe.lr_factor(step, self.steps_per_epoch, self.experiment.epochs)
        for group, peak in zip(self.optimizer.param_groups, self.peak_rates, strict=True):
            group["lr"] = peak * factor
        logits = self.network(inputs)
        loss_sum = self.loss(logits, labels if mixed is targets else mixed, inputs)
        self.optimizer.zero_grad()
        self.accelerator.backward(loss_sum * (self.accelerator.num_processes / len(batch)))
        self.optimizer.step()
        if self.average is not None:
            averaging.update(self.average, self.bare_model, step, self.recipe.ema)
        correct = (logits.argmax(1) == labels).sum()
        return torch.stack([loss_sum.detach(), correct, correct.new_tensor(len(labels))])

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
        self.save()
        begun = time.monotonic()
        if self.average is not None and epoch + 1 == self.experiment.epochs:
            averaging.reestimate_batch_norm(self.average, self.plain_batches())
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
        self.save_shorter_runs()  # first: an epoch that is saved is never gone through again
        self.save()
        if self.accelerator.is_main_process:
            self.folder.write_history(state.history)
            text = ", ".join(f"{key} {value:.5g}" for key, value in row.items())
            bar.write(f"{self.experiment.name}: {text}", file=sys.stderr)
        rate = len(self.data.train) / row["seconds"]
        self.accelerator.log({**row, "images_per_second": rate}, step=state.step)
        self.stop_if_asked(stop)

    def validate(self) -> list[float]:
        """[correct predictions, sum of losses] over the validation split, by all processes."""
        for buffer in self.bare_model.buffers() if self.accelerator.num_processes > 1 else ():
            torch.distributed.broadcast(buffer, 0)  # batch norm's, where processes keep their own
        mine = self.data.validation.take(self.part)
        sums = correct_and_loss(split_logits(self.result, mine), mine.labels)
        return sum_over_processes(self.accelerator, torch.tensor(sums, dtype=torch.float64))

    def plain_batches(self) -> list[Tensor]:
        """Inputs to re-estimate batch norm from: every training image once, not augmented."""
        return [self.images[start : start + 500] for start in range(0, len(self.images), 500)]

    def save(self) -> None:
        if self.accelerator.is_main_process:
            optimizer = self.optimizer.optimizer
            self.folder.save(self.bare_model, optimizer, self.state, self.average)
        self.accelerator.wait_for_everyone()

    def save_shorter_runs(self) -> None:
        """Save the end of an experiment whose whole run this one has just been through."""
        for row in EXPERIMENTS.values():
            if row.is_prefix_of(self.experiment) and row.epochs == len(self.state.history):
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
