"""Train one experiment by name, or resume it where it was stopped.

    python -m training.train small-dropout0.7-epochs4
    accelerate launch --multi_gpu -m training.train large-dropout0.7-epochs5

Every random draw is a function of the seed and the step: initial weights, order of the pictures,
flips, angles and dropout. A resumed run therefore needs no random state to go on bit for bit, and
runs that share a seed share their steps. Source: the report's listing 10.
"""

import argparse
import ctypes
import dataclasses
import platform
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from filelock import FileLock, Timeout
from torch import Tensor, nn
from tqdm import tqdm

from mobilenetv3_cifar import MobileNetV3Cifar
from training import checkpoint
from training.augment import augment, draw
from training.checkpoint import CheckpointError, State
from training.data import Cifar10, DataError, load
from training.evaluate import correct_and_loss, split_logits
from training.experiments import BATCH_SIZE, EXPERIMENTS, Experiment
from training.provenance import ROOT, environment
from training.publish import make_model_folder

CHECKPOINT_SECONDS = 120
GLANCE_STEPS = 10  # between two looks at the loss, which wait for the device


class TrainingError(Exception):
    """The run cannot start or go on; the message says why, and what is kept."""


class Stopped(BaseException):
    """A signal asked the run to stop, and its state is saved."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum


class StopSignals:
    """While entered, SIGINT and SIGTERM are noted instead of obeyed at once."""

    def __enter__(self) -> "StopSignals":
        self.received = 0
        watched = (signal.SIGINT, signal.SIGTERM)
        self.previous = {number: signal.signal(number, self.note) for number in watched}
        return self

    def note(self, signum: int, frame: FrameType | None) -> None:
        self.received = signum

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)


class Run:
    """One experiment with one seed, in one folder."""

    def __init__(
        self,
        experiment: Experiment,
        data: Cifar10,
        folder: Path,
        *,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        self.experiment, self.data, self.folder, self.seed = experiment, data, folder, seed
        self.accelerator = make_accelerator(device)
        self.environment = environment(self.accelerator.device)
        self.steps_per_epoch = -(-len(data.train) // BATCH_SIZE)
        torch.manual_seed(seed)
        model = MobileNetV3Cifar(size=experiment.size, dropout=experiment.dropout)
        if self.accelerator.num_processes > 1 and self.accelerator.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        model = model.to(self.accelerator.device).to(memory_format=torch.channels_last)
        lr = experiment.lr(0, self.steps_per_epoch)
        optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.state = State()

    @property
    def bare_model(self) -> MobileNetV3Cifar:
        return self.accelerator.unwrap_model(self.model)

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

    def resume(self) -> None:
        """Go to the newest checkpoint, if there is one.

        Raises:
            TrainingError: the checkpoint was made with other settings; the message names them.
        """
        found = checkpoint.read(self.folder)
        if found is None:
            return
        tensors, state, began, damaged = found
        for line in damaged:
            self.accelerator.print(f"warning: {line}", file=sys.stderr)
        differing = [
            f"{key} was {began.get(key)!r} and is now {value!r}"
            for key, value in self.settings().items()
            if began.get(key) != value
        ]
        if differing:
            raise TrainingError(
                f"{self.folder} began with other settings: {'; '.join(differing)}. "
                "Go back to them, or delete the folder to begin anew"
            )
        checkpoint.unpack(tensors, self.bare_model, self.optimizer.optimizer)
        self.state = state
        for key in ("torch", "device"):
            before, now = state.environments[-1][key], self.environment[key]
            if before != now:
                self.accelerator.print(
                    f"warning: {key} was {before} and is now {now}; "
                    "the run goes on, but not bit for bit as it would have",
                    file=sys.stderr,
                )
        self.accelerator.print(f"resuming {self.folder} at step {state.step}", file=sys.stderr)

    def save(self) -> None:
        self.check_loss()
        if self.accelerator.is_main_process:
            tensors = checkpoint.pack(self.bare_model, self.optimizer.optimizer)
            for folder, settings in [(self.folder, self.settings()), *self.shorter_runs()]:
                try:
                    checkpoint.write(folder, tensors, self.state, settings)
                except OSError as error:
                    raise TrainingError(
                        f"cannot write a checkpoint in {folder}: {error}; the one before is whole"
                    ) from error
        self.accelerator.wait_for_everyone()

    def shorter_runs(self) -> list[tuple[Path, dict[str, Any]]]:
        """Folders and settings of the experiments whose whole run this one has just ended."""
        return [
            (
                self.folder.parent.parent / row.name / self.folder.name,
                self.settings() | {"epochs": row.epochs},
            )
            for row in EXPERIMENTS.values()
            if row.shares_prefix_with(self.experiment)
            and row.epochs == len(self.state.history)
            # Once a new epoch has begun, the state is no longer that of the shorter run.
            and not self.state.total
        ]

    def check_loss(self) -> None:
        if not np.isfinite(self.state.loss_sum):
            raise TrainingError(
                f"the loss is {self.state.loss_sum} at step {self.state.step}; "
                f"the newest checkpoint in {self.folder} is from before"
            )

    def train(self) -> None:
        """Train to the end; the folder then holds the final state.

        Raises:
            Stopped: a signal came; the state is saved.
            TrainingError: the loss is not finite, the disk is full, or another run has the folder.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / "lock", timeout=0)
        try:
            with lock if self.accelerator.is_main_process else StopSignals(), StopSignals() as stop:
                self.resume()
                if self.environment not in self.state.environments:
                    self.state.environments.append(self.environment)
                self.run_epochs(stop)
        except Timeout:
            raise TrainingError(f"another run is training in {self.folder}") from None

    def run_epochs(self, stop: StopSignals) -> None:
        pictures, epochs = len(self.data.train), self.experiment.epochs
        done = len(self.state.history) * pictures + int(self.state.total)
        interval = 0.5 if sys.stderr.isatty() else 30  # seconds; a log wants fewer lines
        with tqdm(
            total=epochs * pictures,
            initial=done,
            unit="img",
            desc=self.experiment.name,
            mininterval=interval,
            disable=not self.accelerator.is_main_process,
        ) as bar:
            for epoch in range(len(self.state.history), epochs):
                self.train_epoch(epoch, stop, bar)
                self.finish_epoch(epoch, stop, bar)

    def train_epoch(self, epoch: int, stop: StopSignals, bar: "tqdm[Any]") -> None:
        """The rest of one epoch, from wherever `state` stands."""
        self.model.train()
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.data.train))
        begun = saved = time.monotonic()
        sums = self.zero_sums()
        for step in range(self.state.step, (epoch + 1) * self.steps_per_epoch):
            position = step - epoch * self.steps_per_epoch
            batch = order[position * BATCH_SIZE : (position + 1) * BATCH_SIZE]
            sums += self.train_step(step, batch)
            bar.update(len(batch))
            now = time.monotonic()
            save_now = self.agreed(bool(stop.received) or now - saved > CHECKPOINT_SECONDS)
            last = step + 1 == (epoch + 1) * self.steps_per_epoch
            if save_now or last or step % GLANCE_STEPS == 0:
                self.collect(step + 1, sums, now - begun)
                sums, begun = self.zero_sums(), now
                self.check_loss()
                bar.set_postfix(
                    epoch=epoch + 1, loss=f"{self.state.loss_sum / self.state.total:.3f}"
                )
            if save_now:
                self.save()
                saved = now
                if self.agreed(bool(stop.received)):
                    raise Stopped(stop.received or signal.SIGTERM)

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

    def finish_epoch(self, epoch: int, stop: StopSignals, bar: "tqdm[Any]") -> None:
        """Validate, add the epoch's row to the history, and save."""
        self.save()
        begun = time.monotonic()
        self.model.eval()
        valid_correct, valid_loss = self.validate()
        state, pictures = self.state, len(self.data.validation)
        state.history.append(
            {
                "epoch": epoch + 1,
                "lr": self.experiment.lr(epoch * self.steps_per_epoch, self.steps_per_epoch),
                "train_loss": state.loss_sum / state.total,
                "train_accuracy": state.correct / state.total,
                "valid_loss": valid_loss / pictures,
                "valid_accuracy": valid_correct / pictures,
                "seconds": state.seconds + time.monotonic() - begun,
            }
        )
        state.loss_sum = state.correct = state.total = state.seconds = 0.0
        self.save()
        row = ", ".join(f"{key} {value:.5g}" for key, value in state.history[-1].items())
        bar.write(f"{self.experiment.name}: {row}", file=sys.stderr)
        if self.agreed(bool(stop.received)):
            raise Stopped(stop.received or signal.SIGTERM)

    def validate(self) -> tuple[float, float]:
        """(correct predictions, sum of losses) over the validation split, by all processes."""
        mine = self.data.validation.take(slice(self.rank, None, self.accelerator.num_processes))
        sums = correct_and_loss(split_logits(self.bare_model, mine), mine.labels)
        shared = torch.tensor(sums, device=self.accelerator.device)
        total = self.accelerator.reduce(shared, "sum")
        correct, loss_sum = total.tolist()
        return correct, loss_sum

    @property
    def rank(self) -> int:
        return self.accelerator.process_index

    def zero_sums(self) -> Tensor:
        return torch.zeros(3, device=self.accelerator.device)

    def collect(self, step: int, sums: Tensor, seconds: float) -> None:
        """Add what all processes summed up since the last time to the state."""
        loss_sum, correct, total = self.accelerator.reduce(sums, "sum").tolist()
        self.state.step = step
        self.state.loss_sum += loss_sum
        self.state.correct += correct
        self.state.total += total
        self.state.seconds += seconds

    def agreed(self, mine: bool) -> bool:
        """Whether any process says so: all must save and stop at the same step."""
        if self.accelerator.num_processes == 1:
            return mine
        vote = torch.tensor(float(mine), device=self.accelerator.device)
        return bool(self.accelerator.reduce(vote, "sum"))


def make_accelerator(device: str | None) -> Accelerator:
    """The device asked for, or the best there is; bfloat16 where a GPU has it.

    Raises:
        TrainingError: the device asked for is not here.
    """
    bf16 = device != "cpu" and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision="bf16" if bf16 else "no")
    if device not in (None, accelerator.device.type):
        raise TrainingError(f"no {device} device here; the best is {accelerator.device.type}")
    if accelerator.device.type == "cpu":
        keep_memory()
    return accelerator


def keep_memory() -> None:
    """Have glibc keep freed memory: returning tens of MB at every layer costs a CPU run a third."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD, bytes
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD, bytes


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("name", choices=EXPERIMENTS, metavar="NAME", help=", ".join(EXPERIMENTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=["cpu", "cuda", "mps"], help="default: the best here")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    trial = parser.add_argument_group("trials, which never write under model_cards/")
    trial.add_argument("--epochs", type=int, help="another number of epochs")
    trial.add_argument("--limit", type=int, help="only so many training and validation pictures")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    experiment = EXPERIMENTS[arguments.name]
    try:
        data = load(arguments.data_dir)
        folder = arguments.runs_dir / experiment.name / f"seed-{arguments.seed}"
        if arguments.limit:
            part = slice(arguments.limit)
            data = data._replace(train=data.train.take(part), validation=data.validation.take(part))
            folder = folder.with_name(f"{folder.name}-limit{arguments.limit}")
        if arguments.epochs:
            experiment = dataclasses.replace(experiment, epochs=arguments.epochs)
            folder = folder.with_name(f"{folder.name}-epochs{arguments.epochs}")
        run = Run(experiment, data, folder, seed=arguments.seed, device=arguments.device)
        run.train()
        trial = arguments.limit or arguments.epochs
        if run.accelerator.is_main_process and not trial:
            for row in EXPERIMENTS.values():
                if row == experiment or row.shares_prefix_with(experiment):
                    ended = arguments.runs_dir / row.name / folder.name
                    print(make_model_folder(ended, row, data, ROOT / "model_cards"))
    except Stopped as stopped:
        print(f"stopped by {stopped}; the same command resumes", file=sys.stderr)
        sys.exit(stopped.exit_code)
    except (TrainingError, CheckpointError, DataError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
