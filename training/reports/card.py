"""From measured figures to a model card: typed metadata, and a template that holds no number.

Every figure in a card comes from the `metrics.json` and `history.csv` beside it.
"""

import statistics
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from mobilenetv3_cifar.files import replace_files
from training.experiments import Experiment
from training.reports import measured
from training.reports.measured import OVERFITTING, UNDERFITTING, Measured, percent, points

TEMPLATE = Path(__file__).parent / "card_template.md"
DATASET = "uoft-cs/cifar10"
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
    """Write `folder/README.md` from the files beside it.

    Whether a network underfits is told by the one beside it that was trained without limits.
    """
    variant = measured.read(folder)
    metrics, experiment = variant.metrics, variant.row
    full = folder.parent / f"{experiment.size}-dropout0-epochs10"
    card = ModelCard.from_template(
        card_data(metrics),
        template_path=str(TEMPLATE),
        experiment=experiment,
        metrics=metrics,
        test=metrics["test"],
        training=metrics["training"],
        config=measured.read_json(folder / "config.json"),
        purpose=purpose(experiment),
        schedule=SCHEDULES[experiment.recipe.schedule],
        splits=[
            (name, percent(metrics[key]["accuracy"]), f"{metrics[key]['loss']:.4f}")
            for key, name in SPLITS.items()
        ],
        accuracy=percent(variant.test),
        comparison=comparison(variant),
        spread=spread(variant),
        verdict=verdict(variant, measured.read(full) if measured.is_published(full) else None),
        int8=int8(metrics),
    )
    replace_files(folder, {"README.md": f"{str(card).rstrip()}\n".encode()})


def card_data(metrics: dict[str, Any]) -> ModelCardData:
    """The card's metadata, the test results as `model-index`."""
    test = metrics["test"]
    results = (
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
            for kind, name, value in results
        ],
    )


def purpose(experiment: Experiment) -> str:
    where = (
        "REPRODUCTION.md, in the repository that trained it, holds that against what was measured."
    )
    if not experiment.section:
        return f"It is no experiment of the report, but a control: {experiment.claim} {where}"
    return (
        f"It reproduces an experiment of the report ({experiment.section}), "
        f"which concludes: {experiment.claim}. {where}"
    )


def comparison(variant: Measured) -> str:
    """The report's figures beside ours, or a sentence that there are none."""
    report, test = variant.row.report, variant.metrics["test"]
    if report is None:
        printed = "prints no figures for" if variant.row.section else "does not have"
        return f"The report {printed} this setting."
    rows = (
        ("accuracy", test["accuracy"], report.accuracy),
        ("precision (macro)", test["precision_macro"], report.precision),
        ("recall (macro)", test["recall_macro"], report.recall),
    )
    lines = ["| test pictures | the report | ours | difference in points |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {percent(theirs)} | {percent(ours)} | {points(ours - theirs)} |"
        for name, ours, theirs in rows
    ]
    return "\n".join(lines)


def spread(variant: Measured) -> str:
    """The mean and standard deviation of the test accuracy over all seeds, where there are more."""
    if not variant.seeds:
        return ""
    found = variant.accuracies.values()
    figures = f"{100 * variant.mean:.2f} ± {100 * statistics.stdev(found):.2f} %"
    return (
        f"The test accuracy over {len(found)} seeds is {figures} (mean ± standard deviation): "
        f"{', '.join(map(percent, found))}. "
        "The first, seed 0, is the one shipped, whatever the others gave."
    )


def int8(metrics: dict[str, Any]) -> str:
    """What `training.quantize` measured, where it has been run."""
    found = metrics.get("int8")
    if found is None:
        return ""
    change = points(found["accuracy"] - metrics["test"]["accuracy"])
    return (
        f"In 8 bits: `python -m training.quantize {metrics['name']}` makes of the network an ONNX "
        f"file of {found['bytes'] / 1e6:.1f} MB whose weights and activations are 8-bit integers, "
        f"scaled on {found['calibration_pictures']} training pictures. It gets "
        f"**{percent(found['accuracy'])}** of the test pictures right ({change} "
        f"points), with onnxruntime {found['onnxruntime']} on {found['device']}."
    )


def verdict(variant: Measured, full: Measured | None) -> str:
    """Over- or underfitting, from the training accuracies and the trend of the curves."""
    last_gain = variant.change("valid_accuracy", len(variant.history) - 1)
    train = variant.metrics["train"]["accuracy"]
    shortfall = full.metrics["train"]["accuracy"] - train if full else 0
    if variant.gap > OVERFITTING:
        finding = "it overfits"
    elif shortfall > UNDERFITTING:
        finding = "it underfits"
    else:
        finding = "it neither overfits nor underfits"
    learning = "was still learning" if last_gain > GAIN_LEARNING else "was no longer learning"
    text = (
        f"Verdict: **{finding}, and {learning} when it stopped**. The training accuracy is "
        f"{points(variant.gap)} points over the validation accuracy (more than "
        f"{100 * OVERFITTING:.0f} counts as overfitting), and the last epoch changed the "
        f"validation accuracy by {points(last_gain)} points (more than "
        f"{100 * GAIN_LEARNING:.1f} counts as still learning)."
    )
    if full and full != variant:
        text += (
            f" `{full.row.name}` has {percent(full.metrics['train']['accuracy'])} of the training "
            f"pictures right, this network {percent(train)}: more than {100 * UNDERFITTING:.0f} "
            "points less count as underfitting."
        )
    return text
