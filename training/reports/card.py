"""The model card: typed metadata, and a template that holds no number of this network.

Every number in a card comes from the `metrics.json`, `history.csv` and `config.json` beside it.
"""

import dataclasses
import json
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from mobilenetv3_cifar.files import replace_files
from training.experiments import REPORT
from training.reports import checks, curves, results
from training.reports.results import Results, ResultsByName, gap, test_accuracy
from training.reports.schema import Metrics
from training.reports.text import render
from training.reports.variation import accuracy_interval

DATASET = "uoft-cs/cifar10"
SCORES = (  # metric type, name, key of the test metrics
    ("accuracy", "accuracy", "accuracy"),
    ("precision", "macro precision", "precision_macro"),
    ("recall", "macro recall", "recall_macro"),
    ("f1", "macro F1", "f1_macro"),
    ("loss", "cross entropy", "loss"),
)


def write_card(folder: Path) -> None:
    """Write `folder/README.md` from the files beside it.

    Over- and underfitting are judged with the results of the report's longest training of the same
    network, if they are beside this folder.

    Raises:
        ResultsError: a file of results is missing or wrong.
    """
    one = results.read(folder)
    others = results.read_all(folder.parent, [f"{one.row.size}-dropout0-epochs10"])
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    text = render(
        "card_template.md",
        card_data=card_data(one.metrics).to_yaml(),
        experiment=one.row,
        metrics=one.metrics,
        test=one.metrics["test"],
        config=config,
        threshold=config.get("ood_threshold", config.get("unsure_below")),
        score=config.get("ood_score", "confidence"),
        as_reported=dataclasses.replace(one.row.recipe, schedule="step") == REPORT,
        accuracies=[test_accuracy(run) for run in one.runs],
        interval=interval,
        fit="" if one.row.kind == "own" else fit(one, others),
    )
    replace_files(folder, {"README.md": text})


def card_data(metrics: Metrics) -> ModelCardData:
    """The card's metadata, the test results as `model-index`."""
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
                metric_value=metrics["test"][key],  # type: ignore[literal-required]
            )
            for kind, name, key in SCORES
        ],
    )


def interval(correct: int, total: int) -> str:
    low, high = accuracy_interval(correct, total)
    return f"{100 * low:.2f} to {100 * high:.2f} %"


def fit(one: Results, others: ResultsByName) -> str:
    """Over- and underfitting of report and control experiments, by REPRODUCTION.md's rules."""
    name = f"{one.row.size}-dropout0-epochs10"
    rise = curves.rise_from_lowest(others, one)
    verdict, below = checks.decide(rise, checks.exceeds), None
    if one.row.kind == "report" and one.name != name and name in others:
        below = checks.underfitting(others, one, others[name])
    finding = {"confirmed": "it overfits", "not confirmed": "it does not overfit"}.get(
        verdict, "whether it overfits is not decidable"
    )
    if below and verdict == "not confirmed":
        finding = "it underfits" if below.value > 0 else "it neither overfits nor underfits"
    above = gap(one.metrics)
    text = (
        f"By the rules of REPRODUCTION.md, **{finding}**: {rise.figures}. Training accuracy is "
        f"{100 * abs(above):.2f} points {'above' if above >= 0 else 'below'} validation accuracy."
    )
    if len(one.history) > 1:
        last = curves.change(others, one, "valid_accuracy", len(one.history) - 1)
        text += f" The last epoch changed validation accuracy by {checks.show(last)} points."
    return f"{text} Compared with `{name}`: {below.figures}." if below else text
