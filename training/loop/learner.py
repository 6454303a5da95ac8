"""Train a network on one device, one batch per step.

The network, the optimizer and the training images stay on the device. A step never copies from the
host or waits for the device.
"""

import copy
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from mobilenetv3_cifar import MobileNetV3Cifar
from training.dataset.cifar10 import Split
from training.errors import TrainingError
from training.experiments import Experiment
from training.loop.augmentation import augment
from training.loop.cuda_graph import Replayed
from training.loop.depthwise import use_fast_depthwise
from training.loop.draws import Draws, Normalization
from training.loop.losses import Loss, load_teacher
from training.loop.optimizers import MuonWithSgd


class Learner:
    """A network in training, with its images, loss and optimizer.

    If the recipe has a teacher, the teacher's run is looked up in `runs`. `average` is the
    exponential moving average of the weights and batch-norm statistics, or None if `ema` is 0.
    """

    def __init__(
        self, experiment: Experiment, images: Split, accelerator: Accelerator, seed: int, runs: Path
    ) -> None:
        self.experiment, self.recipe = experiment, experiment.recipe
        self.accelerator, self.device, self.seed = accelerator, accelerator.device, seed
        self.images = torch.from_numpy(images.images).to(self.device)
        self.labels = torch.from_numpy(images.labels).long().to(self.device)
        self.steps_per_epoch = math.ceil(len(self.labels) / self.recipe.batch_size)

        torch.manual_seed(seed)
        model = MobileNetV3Cifar(**experiment.model)
        if accelerator.num_processes > 1 and self.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        model = model.to(self.device).to(memory_format=torch.channels_last)
        self.average: MobileNetV3Cifar | None = None
        if self.recipe.ema:
            self.average = copy.deepcopy(model).eval().requires_grad_(False)
            self.averaged, self.current = float_tensors(self.average), float_tensors(model)
        self.norm = Normalization(model.config.mean, model.config.std, self.device)
        teacher = load_teacher(self.recipe.distillation, runs, model.config)
        self.loss = Loss(self.recipe, teacher.to(self.device) if teacher else None)
        optimizer = self.recipe.optimizer.build(model)
        self.peak_rates = [group["lr"] for group in optimizer.param_groups]
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self.bare_model: MobileNetV3Cifar = accelerator.unwrap_model(self.model)
        self.bfloat16 = self.recipe.precision == "bfloat16"
        self.network = self.model
        self.fast_update: Callable[..., Tensor] = self.update
        if self.bfloat16 or self.device.type == "cpu":
            use_fast_depthwise(self.bare_model, self.device)
        if self.bfloat16 and self.device.type == "cuda":
            self.network = torch.compile(self.model)  # fuses operations into fewer kernels
            if teacher:
                teacher.compile()
            if isinstance(optimizer, MuonWithSgd) and accelerator.num_processes == 1:
                for group, peak in zip(self.optimizer.param_groups, self.peak_rates, strict=True):
                    group["lr"] = torch.tensor(peak, device=self.device)
                self.fast_update = Replayed(self.update)
        end = math.nextafter(1, 0)  # the progress at the last step of a very long run
        draws = Draws(seed, 0, 1, torch.arange(1, device=self.device), progress=end)
        trained, validated = self.augmented(draws)[0].shape[2], self.bare_model.config.image_size
        if trained != validated:
            what = f"the augmentations of {experiment.name} end with {trained}x{trained} pixels"
            raise TrainingError(f"{what}, but its network validates with image_size {validated}")

    @property
    def saved(self) -> tuple[nn.Module, torch.optim.Optimizer, nn.Module | None]:
        """The arguments for `checkpoint.pack`."""
        return self.bare_model, self.optimizer.optimizer, self.average

    @property
    def result(self) -> MobileNetV3Cifar:
        """The network to validate and ship: `average` if there is one, else `bare_model`."""
        return self.average or self.bare_model

    @property
    def part(self) -> slice:
        """The slice that selects this process's images from a batch or a dataset split."""
        return slice(self.accelerator.process_index, None, self.accelerator.num_processes)

    def draws(self, step: int, batch: Tensor, part: slice) -> Draws:
        epoch = step // self.steps_per_epoch
        progress = step / (self.steps_per_epoch * self.experiment.epochs)
        return Draws(self.seed, step, len(batch), batch[part], epoch, progress, part)

    def augmented(self, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
        """Return augmented images, their labels and the loss's targets, for N images and C classes.

        The targets are class probabilities (N, C) if images were mixed or if steps are replayed
        from a CUDA graph, which needs inputs of constant shape. Otherwise they are the labels (N,).
        """
        labels, images = self.labels[draws.indices], self.images[draws.indices]
        whole = nn.functional.one_hot(labels, self.bare_model.config.num_classes).float()
        inputs, mixed = augment(images, whole, self.recipe.augmentations, draws, self.norm)
        unmixed = mixed is whole and self.fast_update == self.update
        return inputs, labels, labels if unmixed else mixed

    def reestimate_batch_norm(self, batches: Iterable[tuple[int, Tensor]]) -> None:
        """Recompute the batch-norm statistics of `average`. `batches` yields (step, image indices).

        No training step uses the averaged weights, so the statistics from training do not match
        these weights (Izmailov et al. 2018). The images are augmented as in training, because
        statistics of unaugmented images gave large-cifar32 a lower validation accuracy.
        """
        if self.average is not None:
            all_draws = (self.draws(step, batch, slice(None)) for step, batch in batches)
            update_bn((self.augmented(draws)[0] for draws in all_draws), self.average)

    def step(self, step: int, batch: Tensor) -> Tensor:
        """Take an optimizer step. Return a tensor [loss sum, correct predictions, image count].

        `batch` contains the image indices for all processes. Each process uses and counts only its
        own part of the batch. The gradients are averaged over the processes.
        """
        draws = self.draws(step, batch, self.part)
        inputs, labels, targets = self.augmented(draws)
        torch.manual_seed(draws.dropout_seed() + self.accelerator.process_index)

        factor = self.recipe.lr_factor(step, self.steps_per_epoch, self.experiment.epochs)
        for group, peak in zip(self.optimizer.param_groups, self.peak_rates, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(peak * factor)
            else:
                group["lr"] = peak * factor
        scale = self.accelerator.num_processes / len(batch)
        sums = self.fast_update(inputs, targets, labels, scale=scale)
        if self.average is not None:
            # As in TensorFlow's ExponentialMovingAverage, the average follows the weights faster in
            # the first steps, so that it forgets the initial weights.
            weight = 1 - min(self.recipe.ema, (1 + step) / (10 + step))
            torch._foreach_lerp_(self.averaged, self.current, weight)
        return sums

    def update(self, inputs: Tensor, targets: Tensor, labels: Tensor, scale: float) -> Tensor:
        """Update the weights once. Return the tensor that `step` returns."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            logits = self.network(inputs).float()
            loss_sum = self.loss(logits, targets, inputs)
        self.optimizer.zero_grad()
        self.accelerator.backward(loss_sum * scale)
        self.optimizer.step()
        correct = (logits.argmax(1) == labels).sum()
        return torch.stack([loss_sum.detach(), correct, correct.new_full((), len(labels))])


def float_tensors(model: nn.Module) -> list[Tensor]:
    return [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]
