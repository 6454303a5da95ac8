"""Compute a recipe's loss: cross entropy, possibly with label smoothing or a teacher network."""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.config import RULES, Config
from mobilenetv3_cifar.variants import list_variants
from training.errors import TrainingError
from training.experiments import RUNNABLE, Experiment
from training.loop import checkpoint
from training.recipe import Distillation, Recipe


class Loss:
    """The loss of logits (N, C), summed over a batch of N images with C classes.

    Targets are class indices (N,) or class probabilities (N, C). Only the teacher uses `inputs`.
    """

    def __init__(self, recipe: Recipe, teacher: MobileNetV3Cifar | None) -> None:
        self.smoothing, self.distillation = recipe.label_smoothing, recipe.distillation
        self.teacher, self.teacher_sha256 = teacher, None
        if teacher:
            weights = {name: t.cpu().contiguous() for name, t in teacher.state_dict().items()}
            self.teacher_sha256 = hashlib.sha256(save(weights)).hexdigest()

    def __call__(self, logits: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(
            logits, targets, reduction="sum", label_smoothing=self.smoothing
        )
        if self.teacher is None or self.distillation is None:
            return loss
        with torch.no_grad():
            teacher = self.teacher(inputs).float()
        weight, temperature = self.distillation.weight, self.distillation.temperature
        student, teacher = ((each / temperature).log_softmax(1) for each in (logits, teacher))
        divergence = nn.functional.kl_div(student, teacher, reduction="sum", log_target=True)
        return (1 - weight) * loss + weight * temperature**2 * divergence


def load_teacher(
    distillation: Distillation | None, runs: Path, student: Config
) -> MobileNetV3Cifar | None:
    """Load the teacher from its run in `runs`. Without a checkpoint, load the shipped variant."""
    if distillation is None:
        return None
    name = distillation.teacher
    folder = runs / name / "seed-0"
    trained = checkpoint.manifests(folder)
    if not trained and name in [variant.name for variant in list_variants()]:
        teacher = MobileNetV3Cifar.from_pretrained(name)
    else:
        teacher = from_run(folder, ended=True)
    for field in ("image_size", "mean", "std", "labels"):
        if getattr(teacher.config, field) != getattr(student, field):
            raise TrainingError(f"the teacher {name} and its student differ in {field}")
    return teacher.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def from_run(folder: Path, ended: bool = False) -> MobileNetV3Cifar:
    """Build the network of the newest checkpoint in a run's folder, in evaluation mode."""
    newest = checkpoint.read(folder)
    row = RUNNABLE.get(folder.resolve().parent.name)
    if newest is None or row is None:
        raise TrainingError(f"{folder} is not the folder of a run, runs/NAME/seed-N")
    if ended and len(newest[1].history) < row.epochs:
        raise TrainingError(f"the run in {folder} has not ended")
    model = {name: value for name, value in newest[2].items() if name in RULES}
    if model != {name: repr(value) for name, value in row.model.items()}:
        raise TrainingError(f"the run in {folder} began with another network: {model}")
    return build_network(row, checkpoint.final_weights(newest[0]))


def build_network(row: Experiment, weights: dict[str, Tensor]) -> MobileNetV3Cifar:
    model = MobileNetV3Cifar(**row.model)
    model.load_state_dict(weights, strict=True)
    return model.eval()
