"""Write model cards from a template and from the measurements in the model folders."""

import dataclasses
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData
from scipy import stats

from mobilenetv3_cifar.files import replace_files
from mobilenetv3_cifar.folder import read_config
from training.experiments import REPORT
from training.reports import results
from training.reports.metrics import CORRUPTIONS
from training.reports.schema import Metrics
from training.reports.text import render

DATASET = "uoft-cs/cifar10"
SCORES = (  # (metric type, metric name, key in the test metrics)
    ("accuracy", "accuracy", "accuracy"),
    ("precision", "macro precision", "precision_macro"),
    ("recall", "macro recall", "recall_macro"),
    ("f1", "macro F1", "f1_macro"),
    ("loss", "cross entropy", "loss"),
)
SEVERITIES = {  # the meaning of each corruption's three levels
    "gaussian_noise": "standard deviation {} for pixel values from 0 to 1",
    "gaussian_blur": "standard deviation {} pixels",
    "low_contrast": "contrast multiplied by {}",
    "jpeg": "quality {}",
}


def write_card(folder: Path) -> None:
    """Write the model card `README.md` of a model folder from the folder's other files."""
    one = results.read(folder)
    text = render(
        "card_template.md",
        card_data=card_data(one.metrics).to_yaml(),
        experiment=one.row,
        metrics=one.metrics,
        test=one.metrics["test"],
        config=read_config(folder)[0],
        as_reported=dataclasses.replace(one.row.recipe, schedule="step") == REPORT,
        accuracies=[results.test_accuracy(run) for run in one.runs],
        float32_seeds=[
            run["seed"]
            for run in one.seeds
            if run["training"]["precision"] != one.metrics["training"]["precision"]
        ],
        interval=interval,
        severities={
            corruption.__name__: SEVERITIES[corruption.__name__].format(", ".join(map(str, levels)))
            for corruption, levels in CORRUPTIONS.items()
        },
    )
    replace_files(folder, {"README.md": text})


def card_data(metrics: Metrics) -> ModelCardData:
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
    """Return the 95 % Wilson interval of the accuracy `correct / total`.

    The interval treats the test images as a random sample.
    """
    low, high = stats.binomtest(correct, total).proportion_ci(method="wilson")
    return f"{100 * low:.2f} to {100 * high:.2f} %"
