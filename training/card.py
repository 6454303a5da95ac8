"""From measured figures to a model card: typed metadata, and a template that holds no number.

Every figure in a card comes from the `metrics.json` and `history.csv` beside it.
"""

import csv
import json
import statistics
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from training.experiments import EXPERIMENTS, Experiment

TEMPLATE = Path(__file__).parent / "card_template.md"
DATASET = "uoft-cs/cifar10"
GAP_OVERFITTING = 0.05  # training minus validation accuracy, both unaugmented in evaluation mode
GAIN_LEARNING = 0.005  # validation accuracy an epoch must add to count as still learning

SPLITS = {
    "train": "the 35,000 training pictures, unaugmented, without dropout",
    "validation": "the 15,000 validation pictures",
    "test": "the 10,000 test pictures",
}
SCHEDULES = {
    "step": "multiplied by 0.03 after every third epoch",
    "cosine": "falling to 0 along a cosine over the whole run",
}


def write_card(folder: Path) -> None:
    """Write `folder/README.md` from the files beside it."""
    metrics = read_json(folder / "metrics.json")
    history = read_history(folder / "history.csv")
    config = read_json(folder / "config.json")
    experiment, test, training = EXPERIMENTS[metrics["name"]], metrics["test"], metrics["training"]
    card = ModelCard.from_template(
        card_data(metrics),
        template_path=str(TEMPLATE),
        experiment=experiment,
        metrics=metrics,
        test=test,
        training=training,
        config=config,
        purpose=purpose(experiment),
        schedule=SCHEDULES[experiment.schedule],
        splits=[
            (name, percent(metrics[key]["accuracy"]), f"{metrics[key]['loss']:.4f}")
            for key, name in SPLITS.items()
        ],
        accuracy=percent(test["accuracy"]),
        comparison=comparison(metrics),
        spread=spread(folder, test["accuracy"]),
        verdict=verdict(metrics, history),
        int8=int8(metrics),
    )
    (folder / "README.md").write_text(str(card).rstrip() + "\n", encoding="utf-8")


def card_data(metrics: dict[str, Any]) -> ModelCardData:
    """The card's metadata, the test results as `model-index`."""
    test = metrics["test"]
    measured = (
        ("accuracy", "accuracy", test["accuracy"]),
        ("precision", "macro precision", test["precision_macro"]),
        ("recall", "macro recall", test["recall_macro"]),
        ("f1", "macro F1", test["f1_macro"]),
        ("loss", "cross entropy", test["loss"]),
    )
    return ModelCardData(
        model_name=metrics["name"],
        language="en",
        license="mit",
        library_name="mobilenetv3-cifar",
        pipeline_tag="image-classification",
        datasets=[DATASET],
        metrics=["accuracy", "precision", "recall", "f1"],
        tags=["mobilenetv3", "cifar10", "grad-cam", "pytorch"],
        eval_results=[
            EvalResult(
                task_type="image-classification",
                dataset_type=DATASET,
                dataset_name="CIFAR-10",
                dataset_config="plain_text",
                dataset_split="test",
                metric_type=kind,
                metric_name=name,
                metric_value=value,
            )
            for kind, name, value in measured
        ],
    )


def purpose(experiment: Experiment) -> str:
    if not experiment.section:
        return f"It is {experiment.claim}"
    return (
        f"It reproduces an experiment of the report ({experiment.section}), "
        f"which concludes: {experiment.claim}."
    )


def comparison(metrics: dict[str, Any]) -> str:
    """The report's figures beside ours, or a sentence that there are none."""
    report, test = metrics["report"], metrics["test"]
    if report is None:
        return "The report prints no figures for this setting."
    rows = (
        ("accuracy", test["accuracy"], report["accuracy"]),
        ("precision (macro)", test["precision_macro"], report["precision"]),
        ("recall (macro)", test["recall_macro"], report["recall"]),
    )
    lines = ["| test pictures | the report | ours | difference in points |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {percent(theirs)} | {percent(ours)} | {100 * (ours - theirs):+.2f} |"
        for name, ours, theirs in rows
    ]
    return "\n".join(lines)


def spread(folder: Path, accuracy: float) -> str:
    """The mean and standard deviation of the test accuracy over all seeds, where there are more."""
    others = [read_json(path) for path in sorted((folder / "seeds").glob("*.json"))]
    if not others:
        return ""
    all_of_them = [accuracy, *(other["test"]["accuracy"] for other in others)]
    mean, deviation = statistics.mean(all_of_them), statistics.stdev(all_of_them)
    figures = f"{100 * mean:.2f} ± {100 * deviation:.2f} % (mean ± standard deviation)"
    return (
        f"The test accuracy over {len(all_of_them)} seeds is {figures}: "
        f"{', '.join(map(percent, all_of_them))}. "
        "The first, seed 0, is the one shipped, whatever the others gave."
    )


def int8(metrics: dict[str, Any]) -> str:
    """What `training.quantize` measured, where it has been run."""
    found = metrics.get("int8")
    if found is None:
        return ""
    change = found["accuracy"] - metrics["test"]["accuracy"]
    return (
        f"In 8 bits: `python -m training.quantize {metrics['name']}` makes of the network an ONNX "
        f"file of {found['bytes'] / 1e6:.1f} MB whose weights and activations are 8-bit integers, "
        f"scaled on {found['calibration_pictures']} training pictures. It gets "
        f"**{percent(found['accuracy'])}** of the test pictures right ({100 * change:+.2f} "
        f"points), with onnxruntime {found['onnxruntime']} on {found['device']}."
    )


def verdict(metrics: dict[str, Any], history: list[dict[str, float]]) -> str:
    """Over- or underfitting, from the gap of the accuracies and the trend of the curves."""
    gap = metrics["train"]["accuracy"] - metrics["validation"]["accuracy"]
    last_gain = history[-1]["valid_accuracy"] - history[-2]["valid_accuracy"]
    if gap > GAP_OVERFITTING:
        finding = "it overfits"
    elif last_gain > GAIN_LEARNING:
        finding = "it does not overfit, and was still learning when it stopped"
    else:
        finding = "it does not overfit, and was no longer learning"
    return (
        f"Verdict: **{finding}**. The training accuracy is {100 * gap:+.2f} points over the "
        f"validation accuracy (more than {100 * GAP_OVERFITTING:.0f} counts as overfitting), and "
        f"the last epoch changed the validation accuracy by {100 * last_gain:+.2f} points "
        f"(more than {100 * GAIN_LEARNING:.1f} counts as still learning)."
    )


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def read_history(path: Path) -> list[dict[str, float]]:
    """The rows of a `history.csv`, an epoch each, as numbers."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"
