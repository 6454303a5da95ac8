"""The parts of a model card that say what the network is for and how it was trained."""

import dataclasses

from training.experiments import REPORT, Experiment
from training.reports.markdown import table
from training.reports.results import Results
from training.reports.schema import Metrics

SCHEDULES = {
    "step": "multiplied by 0.03 after every third epoch",
    "cosine": "decreasing to 0 along a cosine over the whole run",
}


def purpose(experiment: Experiment) -> str:
    where = "REPRODUCTION.md, in the repository that trained it, compares that with our results."
    if experiment.kind == "own":
        return f"It is one of this project's own networks. {experiment.claim}".strip()
    if experiment.kind == "control":
        text = "It is a control and not an experiment of the report."
        return f"{text} It asks: {experiment.claim}" if experiment.claim else text
    return (
        f"It reproduces an experiment of the report ({experiment.section}), "
        f"which concludes: {experiment.claim}. {where}"
    )


def recipe_table(one: Results) -> str:
    """How it was trained."""
    metrics, experiment = one.metrics, one.row
    data = (
        f"{metrics['train']['total']:,} of CIFAR-10's training images for training, "
        f"{metrics['validation']['total']:,} for validation (one fixed permutation)"
    )
    if "run" in metrics["validation"]:
        data += f"; validated by the run `{metrics['validation']['run']}`"
    weights = metrics["weights"]
    moved = f"{100 * weights['validation_change']:+.3f}"
    rows = [
        ["network", f"{network(experiment)}, dropout {experiment.dropout:g} in the head"],
        ["data", data],
        *settings(experiment),
        ["epochs", f"{metrics['epochs']}; the weights are those after the last epoch"],
        ["seed", str(metrics["seed"])],
        ["weights", f"{weights['precision']}; that changes validation accuracy by {moved} points"],
        ["cost", cost(metrics)],
    ]
    return table(["", ""], rows)


def settings(experiment: Experiment) -> list[list[str]]:
    """The recipe: in words where it is the report's but for the schedule, else as it is written."""
    recipe = experiment.recipe
    if dataclasses.replace(recipe, schedule="step") != REPORT:
        written = {name: value for name, value in recipe.settings().items() if value != "None"}
        return [[f"`{name}`", f"`{value}`"] for name, value in written.items()]
    optimizer = (
        f"Adam, learning rate 0.001, {SCHEDULES[recipe.schedule]}; batches of 64; cross entropy; "
        "no weight decay"
    )
    augmentation = "resize to 224x224, horizontal flip, rotation by up to ±10°"
    return [["augmentation", augmentation], ["optimizer", optimizer]]


def network(experiment: Experiment) -> str:
    name = f"MobileNetV3-{experiment.size.capitalize()}"
    blocks = experiment.model.get("blocks", "report")
    return f"{name}, the report's blocks" if blocks == "report" else f"{name}, `{blocks}` blocks"


def cost(metrics: Metrics) -> str:
    training = metrics["training"]
    images = training.get("images", metrics["epochs"] * metrics["train"]["total"])
    return f"{images:,} images (with repetitions) in {training['seconds'] / 3600:.2f} hours"


def provenance(metrics: Metrics) -> str:
    training = metrics["training"]
    made = "Made by" if metrics["name"] in training["command"] else "An intermediate checkpoint of"
    processes = training["processes"]
    return (
        f"{made} `{training['command']}`, at commit "
        f"{training['commit'].replace(', ', ', resumed at ')}, with PyTorch {training['torch']} on "
        f"{training['device']}: {processes} process{'es' if processes > 1 else ''}, "
        f"{training['precision']}."
    )
