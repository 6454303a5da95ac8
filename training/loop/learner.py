"""A network, its optimizer and its training images on one device, and the optimizer step.

A step never copies from the host or waits for the device.
"""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from mobilenetv3_cifar import MobileNetV3Cifar
from training.dataset.cifar10 import Split
from training.experiments import Experiment
from training.loop.augmentation import augment
from training.loop.averaging import Average
from training.loop.cuda_graph import Replayed
from training.loop.depthwise import use_fast_depthwise
from training.loop.draws import Draws, Normalization
from training.loop.losses import Loss, load_teacher
from training.loop.optimizers import MuonWithSgd


class Learner:
    """`runs` is the folder of runs, which may contain a teacher's run."""

    def __init__(
        self, experiment: Experiment, images: Split, accelerator: Accelerator, seed: int, runs: Path
    ) -> None:
        self.experiment, self.recipe = experiment, experiment.recipe
        self.accelerator, self.seed = accelerator, seed
        self.device = accelerator.device
        self.images = torch.from_numpy(images.images).to(self.device)
        self.labels = torch.from_numpy(images.labels).long().to(self.device)
        self.steps_per_epoch = math.ceil(len(self.labels) / self.recipe.batch_size)

        torch.manual_seed(seed)
        model = MobileNetV3Cifar(**experiment.model)
        if accelerator.num_processes > 1 and self.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        model = model.to(self.device).to(memory_format=torch.channels_last)
        self.averaging = Average(model, self.recipe.ema) if self.recipe.ema else None
        self.norm = Normalization(model.config.mean, model.config.std, self.device)
        teacher = load_teacher(self.recipe.distillation, runs, model.config)
        self.loss = Loss(self.recipe, teacher.to(self.device) if teacher else None)
        optimizer = self.recipe.optimizer.build(model)
        self.peak_rates = [group["lr"] for group in optimizer.param_groups]
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self.bare_model: MobileNetV3Cifar = accelerator.unwrap_model(self.model)
        self.half = self.recipe.precision == "bfloat16"
        self.network = self.model
        self.fast_update: Callable[..., Tensor] = self.update
        if self.half:
            use_fast_depthwise(self.bare_model, self.device)
        if self.half and self.device.type == "cuda":
            self.network = torch.compile(self.model)  # fuses operations into fewer kernels
            if teacher:
                teacher.compile()
            if isinstance(optimizer, MuonWithSgd) and accelerator.num_processes == 1:
                for group, peak in zip(self.optimizer.param_groups, self.peak_rates, strict=True):
                    group["lr"] = torch.tensor(peak, device=self.device)
                self.fast_update = Replayed(self.update)

    @property
    def average(self) -> MobileNetV3Cifar | None:
        return self.averaging.model if self.averaging else None

    @property
    def saved(self) -> tuple[nn.Module, torch.optim.Optimizer, nn.Module | None]:
        """The objects whose tensors a checkpoint contains."""
        return self.bare_model, self.optimizer.optimizer, self.average

    @property
    def result(self) -> MobileNetV3Cifar:
        """The network to validate and ship: the moving average if there is one."""
        return self.average or self.bare_model

    @property
    def part(self) -> slice:
        """This process's images of a batch or split."""
        return slice(self.accelerator.process_index, None, self.accelerator.num_processes)

    def step(self, step: int, batch: Tensor) -> Tensor:
        """One optimizer step on the images `batch` -> this process's [loss sum, correct, count].

        `batch` is for all processes; each process takes its part, and gradients are averaged.
        """
        indices, epochs = batch[self.part], self.experiment.epochs
        epoch, progress = step // self.steps_per_epoch, step / (self.steps_per_epoch * epochs)
        draws = Draws(self.seed, step, len(batch), indices, epoch, progress, self.part)
        labels = self.labels[indices]
        targets = nn.functional.one_hot(labels, self.bare_model.config.num_classes).float()
        images, augmentations = self.images[indices], self.recipe.augmentations
        inputs, mixed = augment(images, targets, augmentations, draws, self.norm)
        torch.manual_seed(draws.dropout_seed() + self.accelerator.process_index)

        factor = self.recipe.lr_factor(step, self.steps_per_epoch, epochs)
        for group, peak in zip(self.optimizer.param_groups, self.peak_rates, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(peak * factor)
            else:
                group["lr"] = peak * factor
        unmixed = mixed is targets and self.fast_update == self.update
        scale = self.accelerator.num_processes / len(batch)
        sums = self.fast_update(inputs, labels if unmixed else mixed, labels, scale=scale)
        if self.averaging is not None:
            self.averaging.update(step)
        return sums

    def update(self, inputs: Tensor, targets: Tensor, labels: Tensor, scale: float) -> Tensor:
        """Forward, backward and the optimizer's update -> [loss sum, correct, count].

        `targets` are the labels, or probabilities where images are mixed.
        """
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            logits = self.network(inputs).float()
            loss_sum = self.loss(logits, targets, inputs)
        self.optimizer.zero_grad()
        self.accelerator.backward(loss_sum * scale)
        self.optimizer.step()
        correct = (logits.argmax(1) == labels).sum()
        return torch.stack([loss_sum.detach(), correct, correct.new_full((), len(labels))])
