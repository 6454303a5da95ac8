"""The parts of a model card that show results; each is empty where it does not apply."""

import statistics

from training.reports import checks, curve_checks
from training.reports.checks import show
from training.reports.markdown import table
from training.reports.results import Results, ResultsByName, gap, percent, points
from training.reports.schema import Counts, Metrics
from training.reports.variation import accuracy_interval, change, column

PUBLISHED = (  # network, test accuracy in %, MACs in millions, how it was obtained
    ("MobileNetV3-Small, ShowLo/MobileNetV3", 92.97, "17.5", "mean of 5 runs, 400 epochs"),
    ("MobileNetV2 x0.5, chenyaofo/pytorch-cifar-models", 92.88, "28", "200 epochs"),
    ("MobileNetV2 x1.4, chenyaofo/pytorch-cifar-models", 94.22, "170", "200 epochs"),
    ("MobileNetV2, kuangliu/pytorch-cifar", 94.43, "91", "best epoch on the test set"),
    ("MobileNetV2 pruned, zyxxmu/White-Box", 95.28, "64.5", "300 epochs, best on the test set"),
    ("xvel/cifar10-tiniest, not a MobileNet", 94.4, "44", "mean of 5 runs, 200 epochs"),
    ("CondenseNet-110, not a MobileNet", 95.37, "98", "300 epochs, best on the test set"),
)


def accuracies(metrics: Metrics) -> str:
    """Accuracy by dataset split; the test accuracy with its 95 % interval."""
    training = f"{metrics['train']['total']:,} training images, unaugmented, without dropout"
    rows = [
        [training, percent(metrics["train"]["accuracy"]), f"{metrics['train']['loss']:.4f}"],
        [
            f"{metrics['validation']['total']:,} validation images",
            percent(metrics["validation"]["accuracy"]),
            f"{metrics['validation']['loss']:.4f}",
        ],
        [
            f"{metrics['test']['total']:,} test images, one view each",
            f"**{percent(metrics['test']['accuracy'])}** ({interval(metrics['test'])})",
            f"{metrics['test']['loss']:.4f}",
        ],
    ]
    if "flip_averaged" in metrics:
        flipped = metrics["flip_averaged"]
        rows.append(
            [
                f"{flipped['total']:,} test images, averaged with their mirror images",
                f"{percent(flipped['accuracy'])} ({interval(flipped)})",
                "",
            ]
        )
    return table(["", "accuracy (95 % interval)", "cross entropy"], rows)


def interval(counts: Counts) -> str:
    low, high = accuracy_interval(counts["correct"], counts["total"])
    return f"{100 * low:.2f} to {100 * high:.2f} %"


def calibration(metrics: Metrics) -> str:
    """The expected calibration error before and after the temperature."""
    rows = [
        [
            f"{name} images",
            percent(split["ece_untempered"]),
            percent(split["ece"]),
        ]
        for name, split in (("validation", metrics["validation"]), ("test", metrics["test"]))
    ]
    return table(["expected calibration error (15 bins)", "before", "after temperature"], rows)


def optional_sections(one: Results, others: ResultsByName) -> list[str]:
    """Whatever this network has of: comparison, seeds, fit, latency, 8 bits, corruptions."""
    sections = (
        comparison(one),
        seeds(one),
        fit(one, others),
        published_results(one),
        latency(one.metrics),
        int8(one.metrics),
        corruptions(one.metrics),
    )
    return [section for section in sections if section]


def comparison(one: Results) -> str:
    """The report's numbers beside ours, or a sentence that there are none."""
    report, test = one.row.report, one.metrics["test"]
    if one.row.kind != "report":
        return ""
    if report is None:
        return "The report prints no numbers for this setting."
    values = (
        ("accuracy", test["accuracy"], report.accuracy),
        ("precision (macro)", test["precision_macro"], report.precision),
        ("recall (macro)", test["recall_macro"], report.recall),
    )
    rows = [
        [name, percent(theirs), percent(ours), points(ours - theirs)]
        for name, ours, theirs in values
    ]
    return table(["test images", "the report", "ours", "difference in points"], rows)


def seeds(one: Results) -> str:
    """The mean and standard deviation of the test accuracy over all seeds, where there are more."""
    if not one.seeds:
        return ""
    values = [run["test"]["accuracy"] for run in one.runs]
    return (
        f"The test accuracy over {len(values)} seeds is {100 * one.mean:.2f} ± "
        f"{100 * statistics.stdev(values):.2f} % (mean ± standard deviation): "
        f"{', '.join(map(percent, values))}. Seed 0 is the one shipped, whatever the others gave."
    )


def fit(one: Results, others: ResultsByName) -> str:
    """Over- and underfitting of report and control experiments, by REPRODUCTION.md's rules."""
    if one.row.kind == "own":
        return ""
    overfitting = curve_checks.overfits(one, others)
    full = others.get(f"{one.row.size}-dropout0-epochs10")
    underfitting = None
    if full and one.row.kind == "report" and one.name != full.name:
        underfitting = checks.underfits(one, full, others)
    finding = "it does not overfit"
    if overfitting.verdict == "confirmed":
        finding = "it overfits"
    elif overfitting.verdict == "not decidable":
        finding = "whether it overfits is not decidable"
    elif underfitting and underfitting.verdict == "confirmed":
        finding = "it underfits"
    elif underfitting:
        finding = "it neither overfits nor underfits"
    above = gap(one.metrics)
    side = "above" if above >= 0 else "below"
    text = (
        f"By the rules of REPRODUCTION.md, **{finding}**: {overfitting.figures}. Training accuracy "
        f"is {100 * abs(above):.2f} points {side} validation accuracy."
    )
    if len(one.history) > 1:
        last = change(one, others, column("valid_accuracy"), len(one.history) - 1)
        text += f" The last epoch changed validation accuracy by {show(last)} points."
    if full and underfitting:
        text += f" Compared with `{full.name}`: {underfitting.figures}."
    return text


def published_results(one: Results) -> str:
    """Published test accuracies on CIFAR-10 beside this network's."""
    if one.row.kind != "own":
        return ""
    metrics = one.metrics
    rows = [
        [name, f"{accuracy:.2f} %", f"{macs} M", note] for name, accuracy, macs, note in PUBLISHED
    ]
    ours = f"**{percent(metrics['test']['accuracy'])}**"
    note = f"{metrics['epochs']} epochs, weights after the last one"
    rows.append([f"**{metrics['name']}**", ours, f"{metrics['macs'] / 1e6:.1f} M", note])
    heads = ["network, trained from scratch on 32x32 images", "test accuracy", "MACs", "obtained"]
    return table(heads, rows)


def latency(metrics: Metrics) -> str:
    if "latency" not in metrics:
        return ""
    rows = [
        [
            each["runtime"],
            each["device"],
            str(each["batch"]),
            f"{each['milliseconds']:.2f} ms",
            f"{1000 * each['batch'] / each['milliseconds']:,.0f}",
        ]
        for each in metrics["latency"]
    ]
    return table(["latency with", "device", "batch", "median time", "images/s"], rows)


def int8(metrics: Metrics) -> str:
    """What `training.quantize` measured."""
    if "int8" not in metrics:
        return ""
    measured = metrics["int8"]
    moved = points(measured["accuracy"] - metrics["test"]["accuracy"])
    speed = f", {measured['speedup']:.2f} times as fast as float" if "speedup" in measured else ""
    if not measured.get("kept", True):
        return (
            f"In 8 bits: {percent(measured['accuracy'])} test accuracy ({moved} points){speed}. "
            "That does not pay, so there is no 8-bit file."
        )
    return (
        f"In 8 bits: **{percent(measured['accuracy'])}** test accuracy ({moved} points){speed}, "
        f"with onnxruntime {measured['onnxruntime']} on {measured['device']}. "
        f"`python -m training.quantize {metrics['name']}` writes the ONNX file of "
        f"{measured['bytes'] / 1e6:.1f} MB; its weights and activations are 8-bit integers, scaled "
        f"on {measured['calibration_pictures']} training images."
    )


def corruptions(metrics: Metrics) -> str:
    if "corruptions" not in metrics:
        return ""
    by_name = metrics["corruptions"]
    severities = range(1, max(map(len, by_name.values())) + 1)
    rows = [
        [name.replace("_", " "), *map(percent, accuracies)] for name, accuracies in by_name.items()
    ]
    heads = ["test accuracy under", *(f"severity {severity}" for severity in severities)]
    note = "The corruptions are made by this project's own seeded code; they are not CIFAR-10-C."
    return f"{table(heads, rows)}\n\n{note}"
