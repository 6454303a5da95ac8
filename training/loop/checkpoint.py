"""The state of a run on disk: tensors in safetensors, the rest in JSON, never a pickle.

A checkpoint is two files, `step-NNNNNN.safetensors` and `step-NNNNNN.json`. The JSON comes last and
names the SHA-256 of the tensors, so a kill at any moment leaves either a whole checkpoint or none.
The two newest are kept: a damaged one is passed over, loudly, in favour of the one before.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from mobilenetv3_cifar.files import replace_files
from training.errors import CheckpointError

KEPT = 2  # newest checkpoints


@dataclasses.dataclass
class State:
    """How far a run has come; all of it but the tensors."""

    step: int = 0  # optimiser steps done, over the whole run
    loss_sum: float = 0.0  # over the pictures of the epoch so far
    correct: float = 0.0
    total: float = 0.0
    seconds: float = 0.0  # spent in the epoch so far, over all attempts
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)  # a row an epoch done
    environments: list[dict[str, Any]] = dataclasses.field(default_factory=list)  # it ran in


def pack(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Model and optimiser as one flat dict of contiguous CPU tensors."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{slot}": value for slot, value in slots.items()}
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def unpack(tensors: dict[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """The reverse of `pack`, into a model and an optimiser of the same make."""
    model.load_state_dict(model_tensors(tensors), strict=True)
    content = optimizer.state_dict()
    for index, parameter in enumerate(model.parameters()):
        slots = {}
        for slot in ("step", "exp_avg", "exp_avg_sq"):
            value = tensors.get(f"optimizer.{index}.{slot}")
            if value is None:
                continue  # no step has been taken yet
            # Adam's averages must lie in memory as their parameter does (channels last).
            slots[slot] = value if value.ndim == 0 else torch.empty_like(parameter).copy_(value)
        content["state"] |= {index: slots} if slots else {}
    optimizer.load_state_dict(content)


def model_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The model's part of what `pack` made, under the model's own names."""
    prefix = "model."
    return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}


def write(folder: Path, tensors: dict[str, Tensor], state: State, settings: dict[str, Any]) -> Path:
    """Write one checkpoint and drop all but the newest; return the JSON's path."""
    folder.mkdir(parents=True, exist_ok=True)
    content = save(tensors)
    facts = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "settings": settings,
        "state": dataclasses.asdict(state),
    }
    name = f"step-{state.step:06d}"
    manifest = json.dumps(facts, indent=1).encode()
    replace_files(folder, {f"{name}.safetensors": content, f"{name}.json": manifest})
    for old in manifests(folder)[KEPT:]:
        old.unlink()
    stems = {path.stem for path in manifests(folder)}
    left_behind = folder.glob(".step-*.partial")  # by a kill while writing
    for path in (*folder.glob("step-*.safetensors"), *left_behind):
        if path.stem not in stems:
            path.unlink()
    return folder / f"{name}.json"


def read(folder: Path) -> tuple[dict[str, Tensor], State, dict[str, Any], list[str]] | None:
    """The newest whole checkpoint: tensors, state, settings, and a line for each damaged one.

    Returns None where there is no checkpoint at all.

    Raises:
        CheckpointError: there are checkpoints, and none is whole.
    """
    damaged: list[str] = []
    for manifest in manifests(folder):
        try:
            facts = json.loads(manifest.read_text())
            content = manifest.with_suffix(".safetensors").read_bytes()
            if hashlib.sha256(content).hexdigest() != facts["sha256"]:
                raise ValueError("its tensors are not those its manifest names")
            return load(content), State(**facts["state"]), facts["settings"], damaged
        except (OSError, ValueError, KeyError, TypeError) as error:
            damaged.append(f"{manifest.name} is damaged and passed over: {error}")
    if damaged:
        raise CheckpointError(f"no whole checkpoint in {folder}: {'; '.join(damaged)}")
    return None


def manifests(folder: Path) -> list[Path]:
    """The JSON files of all checkpoints, newest first."""
    return sorted(folder.glob("step-*.json"), reverse=True)
