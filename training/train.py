"""Train one experiment or resume its run, then measure the network and write its model folder.

    python -m training.train small-dropout0.7-epochs4
    accelerate launch --multi_gpu -m training.train large-dropout0.7-epochs5

The results of a finished run go into a folder under `model_cards/`. If the run of a shorter
experiment is identical to the first epochs of this run, its results are replaced too. A run with
--epochs, --limit or --precision is a trial that writes nothing there, because these options change
the experiment. As an exception, a run with --precision float32 and a seed other than 0 does write
its results, which include the precision. An ablation writes only a record, to docs/runs/.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import get_args

from mobilenetv3_cifar.command_line import command_parser, one_line_errors
from training.dataset.cifar10 import load
from training.experiments import EXPERIMENTS, RUNNABLE
from training.loop.provenance import ROOT
from training.loop.run import Run
from training.recipe import Precision
from training.reports.model_folder import load_twin, make_model_folder

MOST = 999_999  # push_to_hub sends seeds/SEED.json only if SEED has at most six digits


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser("training.train", __doc__)
    parser.add_argument("name", choices=RUNNABLE, metavar="NAME", help=", ".join(RUNNABLE))
    parser.add_argument("--seed", type=partial(whole_number, 0), default=0)
    parser.add_argument("--device", help="cpu, cuda, cuda:1 or mps; default: the best available")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--log-dir", type=Path, help="folder for TensorBoard logs")
    precisions, default = get_args(Precision), "default: the recipe's precision"
    parser.add_argument("--precision", choices=precisions, help=default)
    trial = parser.add_argument_group("trials, which write nothing under model_cards/")
    trial.add_argument("--epochs", type=partial(whole_number, 1), help="train for this many epochs")
    limit = "train on this many images, and validate on as many"
    trial.add_argument("--limit", type=partial(whole_number, 1), help=limit)
    return parser.parse_args(argv)


def whole_number(least: int, text: str) -> int:
    if not text.isdecimal() or not least <= int(text) <= MOST:
        wanted = f"a whole number from {least} to {MOST}"
        raise argparse.ArgumentTypeError(f"must be {wanted}, not {text}")
    return int(text)


def train_and_record(arguments: argparse.Namespace) -> None:
    experiment = RUNNABLE[arguments.name]
    recipe, epochs = experiment.recipe, arguments.epochs or experiment.epochs
    recipe = replace(recipe, precision=arguments.precision or recipe.precision)
    experiment = replace(experiment, recipe=recipe, epochs=epochs)
    data, part = load(arguments.data_dir, recipe.split), slice(arguments.limit)
    data = data._replace(train=data.train.take(part), validation=data.validation.take(part))
    changes = {"limit": arguments.limit, "epochs": arguments.epochs, "": arguments.precision}
    suffix = "".join(f"-{name}{value}" for name, value in changes.items() if value)
    path = arguments.runs_dir / experiment.name / f"seed-{arguments.seed}{suffix}"
    # With --precision float32 alone, only seed 0 is a trial, because its network is shipped.
    trial = suffix not in ("", "-float32" if arguments.seed else "")
    device, logs = arguments.device, arguments.log_dir
    # This run also saves the shorter runs that are identical to its first epochs. With --epochs N,
    # it does not, because the names of their folders would wrongly end in "-epochsN".
    rows = [] if arguments.epochs else EXPERIMENTS.values()
    shorter = [row for row in rows if row.is_prefix_of(experiment)]
    if not trial:
        # Fail before training, not after it, if the run that `validated_by` names is missing.
        for row in [experiment, *shorter]:
            load_twin(path, row)
    run = Run(experiment, data, path, shorter, seed=arguments.seed, device=device, log_dir=logs)
    run.train()
    if trial or not run.accelerator.is_main_process:
        return
    command = f"python -m training.train {experiment.name}"
    command += f" --seed {arguments.seed}" if arguments.seed else ""
    command += f" --precision {arguments.precision}" if arguments.precision else ""
    for row in [experiment, *shorter]:
        folder, cards = arguments.runs_dir / row.name / path.name, ROOT / "model_cards"
        if folder.exists():  # a shorter run's folder may have been deleted
            print(make_model_folder(folder, row, run.data, cards, command, run.device))


@one_line_errors()
def main() -> None:
    train_and_record(parse_arguments())


if __name__ == "__main__":
    main()
