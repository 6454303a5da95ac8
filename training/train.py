"""Train one experiment by name, or resume it where it was stopped; then measure and publish it.

    python -m training.train small-dropout0.7-epochs4
    accelerate launch --multi_gpu -m training.train large-dropout0.7-epochs5

A finished run becomes a folder under `model_cards/`; a trial never does.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from training.commands import one_line_errors
from training.dataset.cifar10 import load
from training.experiments import EXPERIMENTS
from training.loop.provenance import ROOT
from training.loop.run import Run
from training.publish import make_model_folder


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for, or `words` in its place."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("name", choices=EXPERIMENTS, metavar="NAME", help=", ".join(EXPERIMENTS))
    parser.add_argument("--seed", type=natural, default=0)
    parser.add_argument("--device", choices=["cpu", "cuda", "mps"], help="default: the best here")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    trial = parser.add_argument_group("trials, which never write under model_cards/")
    trial.add_argument("--epochs", type=positive, help="another number of epochs")
    trial.add_argument(
        "--limit", type=positive, help="only so many training and validation pictures"
    )
    return parser.parse_args(words)


def natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0, not {text}")
    return int(text)


def positive(text: str) -> int:
    if natural(text) == 0:
        raise argparse.ArgumentTypeError("must be at least 1, not 0")
    return int(text)


def train_and_publish(arguments: argparse.Namespace) -> None:
    experiment = EXPERIMENTS[arguments.name]
    data = load(arguments.data_dir, experiment.recipe.split)
    path = arguments.runs_dir / experiment.name / f"seed-{arguments.seed}"
    if arguments.limit is not None:
        part = slice(arguments.limit)
        data = data._replace(train=data.train.take(part), validation=data.validation.take(part))
        path = path.with_name(f"{path.name}-limit{arguments.limit}")
    if arguments.epochs is not None:
        experiment = dataclasses.replace(experiment, epochs=arguments.epochs)
        path = path.with_name(f"{path.name}-epochs{arguments.epochs}")
    run = Run(experiment, data, path, seed=arguments.seed, device=arguments.device)
    run.train()
    trial = arguments.limit is not None or arguments.epochs is not None
    if trial or not run.accelerator.is_main_process:
        return
    command = f"python -m training.train {experiment.name}"
    command += f" --seed {arguments.seed}" if arguments.seed else ""
    for row in EXPERIMENTS.values():
        if row == experiment or row.is_prefix_of(experiment):
            ended = arguments.runs_dir / row.name / path.name
            print(make_model_folder(ended, row, data, ROOT / "model_cards", command))


def main() -> None:
    arguments = parse_arguments()
    with one_line_errors():
        train_and_publish(arguments)


if __name__ == "__main__":
    main()
