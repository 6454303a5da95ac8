"""Train one experiment by name, or resume it where it was stopped; then measure and publish it.

    python -m training.train small-dropout0.7-epochs4
    accelerate launch --multi_gpu -m training.train large-dropout0.7-epochs5

A finished run becomes a folder under `model_cards/`; a trial never does.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from training.commands import one_line_errors
from training.dataset.cifar10 import load
from training.experiments import EXPERIMENTS
from training.loop.provenance import ROOT
from training.loop.run import Run
from training.recipe import Precision
from training.reports.model_folder import make_model_folder


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Of the command line, or of `argv` in its place."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("name", choices=EXPERIMENTS, metavar="NAME", help=", ".join(EXPERIMENTS))
    parser.add_argument("--seed", type=non_negative_int, default=0)
    parser.add_argument("--device", choices=["cpu", "cuda", "mps"], help="default: the best here")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--log-dir", type=Path, help="write TensorBoard logs there")
    trial = parser.add_argument_group("trials, which never write under model_cards/")
    trial.add_argument("--epochs", type=positive_int, help="another number of epochs")
    trial.add_argument(
        "--limit", type=positive_int, help="only so many training and validation images"
    )
    trial.add_argument("--precision", choices=get_args(Precision), help="another than the recipe's")
    return parser.parse_args(argv)


def non_negative_int(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0, not {text}")
    return int(text)


def positive_int(text: str) -> int:
    if non_negative_int(text) == 0:
        raise argparse.ArgumentTypeError("must be at least 1, not 0")
    return int(text)


def train_and_publish(arguments: argparse.Namespace) -> None:
    experiment = EXPERIMENTS[arguments.name]
    data = load(arguments.data_dir, experiment.recipe.split)
    path = arguments.runs_dir / experiment.name / f"seed-{arguments.seed}"
    trial = ""
    if arguments.limit is not None:
        part = slice(arguments.limit)
        data = data._replace(train=data.train.take(part), validation=data.validation.take(part))
        trial += f"-limit{arguments.limit}"
    if arguments.epochs is not None:
        experiment = dataclasses.replace(experiment, epochs=arguments.epochs)
        trial += f"-epochs{arguments.epochs}"
    if arguments.precision is not None:
        recipe = dataclasses.replace(experiment.recipe, precision=arguments.precision)
        experiment = dataclasses.replace(experiment, recipe=recipe)
        trial += f"-{arguments.precision}"
    run = Run(
        experiment,
        data,
        path.with_name(f"{path.name}{trial}"),
        seed=arguments.seed,
        device=arguments.device,
        log_dir=arguments.log_dir,
    )
    run.train()
    if trial or not run.accelerator.is_main_process:
        return
    command = f"python -m training.train {experiment.name}"
    command += f" --seed {arguments.seed}" if arguments.seed else ""
    for row in EXPERIMENTS.values():
        if row == experiment or row.is_prefix_of(experiment):
            ended, cards = arguments.runs_dir / row.name / path.name, ROOT / "model_cards"
            print(make_model_folder(ended, row, run.data, cards, command, run.device))


def main() -> None:
    arguments = parse_arguments()
    with one_line_errors():
        train_and_publish(arguments)


if __name__ == "__main__":
    main()
