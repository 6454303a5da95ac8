"""Save the losses of a few training steps, the first gradients, and the history of a whole run.

The processes also try to resume from different checkpoints, and print the error to stderr.

    torchrun --nproc_per_node 2 -m tests.two_processes OUTPUT.safetensors

The environment variable ACCELERATE_USE_CPU must be "true". Without torchrun, there is only one
process. The few steps run in evaluation mode, in which one and two processes must give equal
results. In training mode, batch norm and dropout depend on how a batch is divided among processes.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.tiny import tiny_run
from training.errors import TrainingError
from training.loop.devices import sum_over_processes

STEPS = 6


def few_steps(output: Path) -> None:
    run = tiny_run(output.parent / "run")
    run.resume()  # finds nothing, and notes the environment
    run.learner.model.eval()
    results = {}
    for step in range(STEPS):
        batch = torch.arange(56)  # a smaller batch than usual, as at the end of an epoch
        sums = run.learner.step(step, batch)
        results[f"loss.{step}"] = torch.tensor(sum_over_processes(run.accelerator, sums))
        if step == 0:
            for name, parameter in run.learner.bare_model.named_parameters():
                results[f"gradient.{name}"] = parameter.grad.clone().contiguous()
    run.state.step = STEPS
    run.save()
    rank = run.accelerator.process_index
    other, taught = (
        tiny_run(output.parent / name) for name in ("empty" if rank else "run", "taught")
    )
    taught.learner.loss.teacher_sha256 = f"{rank:08}"
    for each in (other, taught):
        try:
            each.resume()
        except TrainingError as error:
            print(f"process {rank}: {error}", file=sys.stderr)
    whole = tiny_run(output.parent / "whole")
    whole.train()
    for column in ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy"):
        rows = [row[column] for row in whole.state.history]
        results[f"history.{column}"] = torch.tensor(rows, dtype=torch.float64)
    if run.accelerator.is_main_process:
        save_file(results, output)


if __name__ == "__main__":
    few_steps(Path(sys.argv[1]))
