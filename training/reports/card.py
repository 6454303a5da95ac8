"""The model card: typed metadata, and a template that holds no number.

Every number in a card comes from the `metrics.json`, `history.csv` and `config.json` beside it.
`card_training` and `card_results` write the parts that need more than a number.
"""

import json
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from mobilenetv3_cifar.files import replace_files
from training.reports import card_results, card_training, results
from training.reports.results import percent
from training.reports.schema import Metrics

TEMPLATE = Path(__file__).parent / "card_template.md"
DATASET = "uoft-cs/cifar10"
SCORES = {"confidence": "a top probability", "energy": "an energy score", "fdbd": "an fDBD score"}


def write_card(folder: Path) -> None:
    """Write `folder/README.md` from the files beside it.

    Over- and underfitting are judged with the results of the report's longest training of the same
    network, if they are beside this folder.

    Raises:
        ResultsError: a file of results is missing or wrong.
    """
    one = results.read(folder)
    metrics, experiment = one.metrics, one.row
    full = folder.parent / f"{experiment.size}-dropout0-epochs10"
    others = {each.name: results.read(each) for each in (full,) if results.has_results(each)}
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    card = ModelCard.from_template(
        card_data(metrics),
        template_path=str(TEMPLATE),
        experiment=experiment,
        metrics=metrics,
        test=metrics["test"],
        config=config,
        threshold=config.get("ood_threshold", config.get("unsure_below")),
        score=SCORES[config.get("ood_score", "confidence")],
        purpose=card_training.purpose(experiment),
        recipe=card_training.recipe_table(one),
        provenance=card_training.provenance(metrics),
        accuracy=percent(metrics["test"]["accuracy"]),
        accuracies=card_results.accuracies(metrics),
        sections=card_results.optional_sections(one, others),
        calibration=card_results.calibration(metrics),
    )
    replace_files(folder, {"README.md": f"{str(card).rstrip()}\n".encode()})


def card_data(metrics: Metrics) -> ModelCardData:
    """The card's metadata, the test results as `model-index`."""
    test = metrics["test"]
    values = (
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
            for kind, name, value in values
        ],
    )
