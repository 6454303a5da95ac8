"""A few steps of the miniature run, batch norm in evaluation mode: losses and the first gradients;
then the whole run as it is trained: its history.

    torchrun --nproc_per_node 2 -m tests.two_processes OUTPUT.safetensors

with ACCELERATE_USE_CPU=true, or without torchrun in one process. Batch norm and dropout depend on
how a batch is shared out; with both switched off, two processes must do what one does.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.tiny import tiny_run
from training.loop.devices import sum_over_processes

STEPS = 6


def few_steps(output: Path) -> None:
    run = tiny_run(output.parent / "run")
    run.learner.model.eval()
    results = {}
    for step in range(STEPS):
        batch = torch.arange(56)  # the size of an epoch's last batch: not a multiple of 64
        found = run.learner.step(step, batch)
        results[f"loss.{step}"] = torch.tensor(sum_over_processes(run.accelerator, found))
        if step == 0:
            for name, parameter in run.learner.bare_model.named_parameters():
                results[f"gradient.{name}"] = parameter.grad.clone().contiguous()
    whole = tiny_run(output.parent / "whole")
    whole.train()
    for column in ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy"):
        rows = [row[column] for row in whole.state.history]
        results[f"history.{column}"] = torch.tensor(rows, dtype=torch.float64)
    if run.accelerator.is_main_process:
        save_file(results, output)


if __name__ == "__main__":
    few_steps(Path(sys.argv[1]))
