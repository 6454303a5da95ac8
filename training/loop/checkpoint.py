"""Write and read checkpoints of a training run, as safetensors and JSON, without pickle.

A checkpoint is two files, `step-NNNNNN.safetensors` and `step-NNNNNN.json`. The JSON file is
written last, so a killed process leaves a complete checkpoint or none. To detect damage, the JSON
file contains two SHA-256 hashes, one of the tensor file and one of the rest of the JSON file.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.optim import Optimizer

from mobilenetv3_cifar.files import replace_files
from training.errors import TrainingError

Tensors = dict[str, Tensor]


@dataclasses.dataclass
class State:
    """The state of a training run, without the tensors."""

    step: int = 0  # optimizer steps since the start of the run
    loss_sum: float = 0.0  # `loss_sum`, `correct` and `total` are sums over the epoch so far
    correct: float = 0.0
    total: float = 0.0
    seconds: float = 0.0  # spent on the epoch so far, including the time before an interruption
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)  # a row per epoch
    environments: list[dict[str, Any]] = dataclasses.field(default_factory=list)  # used so far


def pack(model: nn.Module, optimizer: Optimizer, average: nn.Module | None = None) -> Tensors:
    """Pack the tensors of a run into one flat dict of contiguous CPU tensors.

    `average` is the moving average of the model's weights. The keys are `model.NAME`,
    `average.NAME` and `optimizer.PARAMETER.SLOT`. SLOT is the optimizer's name for a tensor, for
    example `momentum_buffer`.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for name, parameter in model.named_parameters():
        slots = optimizer.state.get(parameter, {})
        tensors |= {f"optimizer.{name}.{slot}": value for slot, value in slots.items()}
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def unpack(
    tensors: Tensors, model: nn.Module, optimizer: Optimizer, average: nn.Module | None = None
) -> None:
    """Load `tensors`, which `pack` made, into `model`, `optimizer` and `average`."""
    model.load_state_dict(part_of(tensors, "model"), strict=True)
    if average is not None:
        average.load_state_dict(part_of(tensors, "average"), strict=True)
    for name, value in part_of(tensors, "optimizer").items():
        path, slot = name.rsplit(".", 1)
        parameter = model.get_parameter(path)
        # An optimizer tensor must have its parameter's memory layout, for example channels last.
        tensor = torch.empty_like(value if value.ndim == 0 else parameter, device=parameter.device)
        optimizer.state[parameter][slot] = tensor.copy_(value)


def part_of(tensors: Tensors, part: str) -> Tensors:
    """Return {NAME: tensor} for all tensors whose key has the form PART.NAME."""
    prefix = f"{part}."
    return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}


def final_weights(tensors: Tensors) -> Tensors:
    """Return the moving average of the weights. If there is none, return the model's weights."""
    return part_of(tensors, "average") or part_of(tensors, "model")


def write(folder: Path, tensors: Tensors, state: State, settings: dict[str, Any]) -> None:
    """Write a checkpoint. Delete leftover partial files and all but the two newest checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    content = save(tensors)
    facts = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "settings": settings,
        "state": dataclasses.asdict(state),
    }
    name = f"step-{state.step:06d}"
    manifest = json.dumps(facts | {"manifest_sha256": digest(facts)}, indent=1).encode()
    replace_files(folder, {f"{name}.safetensors": content, f"{name}.json": manifest})
    kept = {path.stem for path in manifests(folder)[:2]}
    for pattern in ("step-*.json", "step-*.safetensors", ".step-*.partial"):
        for path in folder.glob(pattern):
            if path.stem not in kept:
                path.unlink()


def digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def read(folder: Path) -> tuple[Tensors, State, dict[str, Any], list[str]] | None:
    """Return the tensors, state and settings of the newest undamaged checkpoint, and warnings.

    Each damaged checkpoint that is newer than the returned one causes one warning. If `folder`
    contains no checkpoint, return None.

    Raises:
        TrainingError: all checkpoints in `folder` are damaged.
    """
    damaged: list[str] = []
    for manifest in manifests(folder):
        try:
            facts = json.loads(manifest.read_text())
            if facts.pop("manifest_sha256") != digest(facts):
                raise ValueError("its content does not match its SHA-256")
            content = manifest.with_suffix(".safetensors").read_bytes()
            if hashlib.sha256(content).hexdigest() != facts["sha256"]:
                raise ValueError("the tensor file does not match its SHA-256")
            return load(content), State(**facts["state"]), facts["settings"], damaged
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            damaged.append(f"{manifest.name} is damaged and skipped: {error}")
    if damaged:
        raise TrainingError(f"no undamaged checkpoint in {folder}: {'; '.join(damaged)}")
    return None


def manifests(folder: Path) -> list[Path]:  # newest first
    return sorted(folder.glob("step-*.json"), reverse=True)
