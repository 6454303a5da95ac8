"""The tables and conclusions, from figures made up for the purpose."""

import csv
import json
import shutil

import pytest

from mobilenetv3_cifar import variants
from mobilenetv3_cifar.preprocessing import LABELS
from mobilenetv3_cifar.variants import variants_folder
from training import judges, measured, publish, reproduce
from training.conclusions import CONCLUSIONS, L4, L5, S3, S4, S5, S10, judge, order
from training.experiments import EXPERIMENTS
from training.measured import Measured
from training.provenance import ROOT

MAX_SHIPPED_BYTES = 75_000_000


def split(accuracy):
    of_a_class = {"precision": 0.5, "recall": accuracy, "f1": 0.5, "support": 1000}
    return {
        "correct": round(accuracy * 10_000),
        "total": 10_000,
        "accuracy": accuracy,
        "loss": 0.7,
        "precision_macro": accuracy + 0.001,
        "recall_macro": accuracy,
        "f1_macro": accuracy,
        "top5_accuracy": 0.98,
        "ece": 0.01,
        "unsure": 0.05,
        "ece_untempered": 0.03,
        "per_class": dict.fromkeys(LABELS, of_a_class),
        "confusion_matrix": [[100] * 10] * 10,
    }


def metrics(name, test, train=0.76, valid=0.74, seed=0):
    row = EXPERIMENTS[name]
    return {
        "name": name,
        "seed": seed,
        "epochs": row.epochs,
        "parameters": 1_836_082,
        "macs": 59_018_208,
        "weights": {"precision": "float32", "validation_change": 0.0, "sha256": "0" * 64},
        "train": {"correct": 1, "total": 35_000, "accuracy": train, "loss": 0.6},
        "validation": split(valid),
        "test": split(test),
        "report": vars(row.report) if row.report else None,
        "training": {
            "command": f"python -m training.train {name}",
            "seconds": 60.5,
            "precision": "float32",
            "processes": 1,
            "device": "cpu: a processor",
            "torch": "2",
            "commit": "c0ffee",
            "data_sha256": "d",
        },
    }


def history(epochs, **columns):
    """Steady learning; `columns` gives some of them instead, an item an epoch."""
    steady = {
        "epoch": [float(epoch) for epoch in range(1, epochs + 1)],
        "lr": [1e-3] * epochs,
        "train_loss": [1 / epoch for epoch in range(1, epochs + 1)],
        "train_accuracy": [0.5 + epoch / 100 for epoch in range(epochs)],
        "valid_loss": [1.1 / epoch for epoch in range(1, epochs + 1)],
        "valid_accuracy": [0.4 + epoch / 100 for epoch in range(epochs)],
        "seconds": [10.0] * epochs,
    }
    filled = steady | columns
    return [{key: filled[key][epoch] for key in steady} for epoch in range(epochs)]


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Two published experiments, one with three seeds, and a README with the markers."""
    cards = tmp_path / "model_cards"
    for name, test in ((S4, 0.75), (S5, 0.76)):
        folder = cards / name
        (folder / "seeds").mkdir(parents=True)
        write_json(folder / "metrics.json", metrics(name, test))
        write_json(folder / "config.json", {"temperature": 1.1, "unsure_below": 0.4})
        (folder / "history.csv").write_bytes(publish.to_csv(history(EXPERIMENTS[name].epochs)))
        (folder / "model.safetensors").write_bytes(b"x" * 1_500_000)
    for seed, test in ((1, 0.752), (2, 0.748)):
        write_json(cards / S4 / "seeds" / f"{seed}.json", metrics(S4, test, seed=seed))
    start = "<!-- variants: written by python -m training.reproduce -->"
    (tmp_path / "README.md").write_text(f"before\n{start}\n<!-- /variants -->\nafter\n")
    monkeypatch.setattr(variants, "variants_folder", lambda: cards)
    monkeypatch.setattr(reproduce, "CARDS", cards)
    return tmp_path


def write_json(path, content):
    path.write_bytes(publish.to_json(content))


def written(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_table_sets_ours_beside_the_reports(published):
    comparison = reproduce.write_tables(published / "model_cards", published)
    (row,) = [line for line in comparison.splitlines() if line.startswith(f"| {S4} ")]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells == [
        *(S4, "74.65 %", "75.00 %", "+0.35"),
        *("74.59 %", "75.10 %", "+0.51"),
        *("74.65 %", "75.00 %", "+0.35"),
        "75.00 ± 0.20 % (3)",
    ]
    assert f"| {S5} | not printed | 76.00 % |" in comparison
    assert "| large-dropout0-epochs10 | not trained yet |" in comparison
    widths = {line.count("|") for line in comparison.splitlines()}
    assert len(widths) == 1


def test_everything_is_written_and_writing_again_changes_nothing(published):
    reproduce.write_tables(published / "model_cards", published)
    once = written(published)
    reproduce.write_tables(published / "model_cards", published)
    assert written(published) == once
    text = (published / "REPRODUCTION.md").read_text()
    assert "{{" not in text
    assert f"model_cards/{S4}/confusion_matrix.png" in text
    readme = (published / "README.md").read_text()
    assert readme.startswith("before")
    assert readme.endswith("after\n")
    assert (
        f"[`{S5}`](model_cards/{S5}) | 74.00 % | 76.00 % | 1,836,082 | 59.0 M | 1.5 MB |" in readme
    )


def test_only_what_has_no_figures_is_trained_and_the_longer_run_first(published):
    runs = reproduce.missing_runs([S4, S5])
    assert runs == [(S5, 1), (S5, 2)]
    (published / "model_cards" / S4 / "metrics.json").unlink()
    assert reproduce.missing_runs([S4, S5]) == [(S5, 1), (S5, 2), (S4, 0)]


def test_what_is_missing_is_trained_by_name_and_seed(published, monkeypatch):
    asked = []
    monkeypatch.setattr(reproduce.train, "train_and_publish", asked.append)
    reproduce.train_missing([S5], ["--runs-dir", "elsewhere"])
    assert [(each.name, each.seed, str(each.runs_dir)) for each in asked] == [
        (S5, 1, "elsewhere"),
        (S5, 2, "elsewhere"),
    ]


def test_every_folder_without_8_bit_figures_gets_them(published, monkeypatch):
    content = metrics(S4, 0.75) | {"int8": {}}
    write_json(published / "model_cards" / S4 / "metrics.json", content)
    asked = []
    monkeypatch.setattr(reproduce, "load", lambda data_dir: "the data")
    monkeypatch.setattr(reproduce, "quantize", lambda *arguments: asked.append(arguments))
    reproduce.quantize_missing(published)
    assert asked == [(published / "model_cards" / S5, "the data")]


def test_the_committed_tables_cards_and_curves_are_what_the_committed_figures_give(tmp_path):
    cards = shutil.copytree(variants_folder(), tmp_path / "model_cards")
    for name in ("README.md", "REPRODUCTION.md"):
        shutil.copy(ROOT / name, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.md")}
    assert len(before) > 2
    reproduce.write_tables(cards, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.md")} == before


def test_the_shipped_variants_stay_small():
    shipped = [path for path in variants_folder().rglob("*") if path.suffix != ".onnx"]
    assert sum(path.stat().st_size for path in shipped if path.is_file()) <= MAX_SHIPPED_BYTES


def variant(name, test=0.75, train=0.76, valid=0.74, seeds=(), **columns):
    others = [metrics(name, other, seed=seed) for seed, other in enumerate(seeds, start=1)]
    epochs = EXPERIMENTS[name].epochs
    return Measured(metrics(name, test, train, valid), history(epochs, **columns), others)


def every(*found):
    return {each.row.name: each for each in found}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (0.780, 0.75, "confirmed"),
        (0.720, 0.75, "not confirmed"),
        (0.753, 0.75, "not decidable"),
    ],
)
def test_a_difference_counts_beyond_two_of_its_standard_deviations(one, other, expected):
    small = variant(S4, other, seeds=(other + 0.002, other - 0.002))
    large = variant(L4, one)  # one seed, so it is taken to vary as the Small one does
    found = judges.better(large, small, every(small, large))
    assert found.verdict == expected
    # sd 0.2 points; of the difference of one and the mean of three: 0.2 * sqrt(1 + 1/3) = 0.231
    assert found.figures.endswith("two standard deviations of that are 0.46")


def test_stations_of_the_same_runs_are_compared_seed_by_seed():
    four = variant(S4, 0.75, seeds=(0.76, 0.74))
    five = variant(S5, 0.755, seeds=(0.766, 0.744))  # 0.5, 0.6 and 0.4 points more
    found = judges.better(five, four, every(four, five))
    assert found.verdict == "confirmed"
    # sd of the differences 0.1; of their mean 0.1 / sqrt(3) = 0.058
    assert found.figures.endswith("+0.50 points; two standard deviations of that are 0.12")
    large = every(four, five, variant(L4, 0.77), variant(L5, 0.7715))
    found = judges.better(large[L5], large[L4], large)
    assert found.verdict == "not decidable"  # 0.15 points of one pair, whose deviation is 0.1


def test_a_setting_varies_as_the_nearest_in_epochs_that_has_several_seeds():
    three, five = variant(S3, 0.7, seeds=(0.72, 0.68)), variant(S5, 0.76, seeds=(0.761, 0.759))
    ten = variant(S10, 0.77)
    variants = every(three, five, ten)
    assert measured.error_of_mean(ten, variants) == pytest.approx(0.001)
    assert measured.error_of_mean(three, variants) == pytest.approx(0.02 / 3**0.5)


def test_without_a_spread_no_difference_is_decided():
    variants = every(variant(L4, 0.9), variant(S4, 0.5))
    assert judges.better(*variants.values(), variants).verdict == "not decidable"
    assert order(variants) == []


def test_a_conclusion_about_an_untrained_variant_is_not_decidable():
    needed = next(row for row in CONCLUSIONS if row.needs == (L4, S4))
    found = judge(needed, every(variant(S4)))
    assert found == ("not decidable", f"not trained yet: {L4}")


def test_the_best_must_beat_every_other():
    one, spread = variant(S4, 0.78, seeds=(0.781, 0.779)), (0.001, -0.001)
    lower, higher = (
        variant(name, test, seeds=[test + each for each in spread])
        for name, test in ((S3, 0.7), (S10, 0.8))
    )
    known = every(one, lower, higher)
    assert judges.best(one, lower, variants=known).verdict == "confirmed"
    assert judges.best(one, lower, higher, variants=known).verdict == "not confirmed"


def test_only_pairs_that_the_report_has_far_apart_are_held_against_its_order():
    small = variant(S4, 0.76, seeds=(0.763, 0.757))  # sd 0.3 points; the report has 74.65 %
    ten, large = variant(S10, 0.75), variant(L4, 0.78)  # 76.76 and 76.18 % in the report
    found = order(every(small, ten, large))
    assert [(one, other, finding.verdict) for one, other, finding in found] == [
        (S10, S4, "not confirmed"),
        (L4, S4, "confirmed"),
    ]


@pytest.mark.parametrize(
    ("judge", "holding", "failing"),
    [
        (judges.overfits, {"train": 0.85}, {"train": 0.76}),
        (judges.over_70, {"test": 0.71}, {"test": 0.69}),
        (judges.mirrors_validation, {"test": 0.745}, {"test": 0.76}),
        (judges.improves, {}, {"valid_loss": [1.0] * 10}),
        (
            judges.plateau_from(6),
            {"valid_accuracy": [0.7] * 9 + [0.701]},
            {"valid_accuracy": [0.7] * 9 + [0.72]},
        ),
        (
            judges.loss_gap_widens_from(6),
            {"valid_loss": [1.0] * 10},
            {"valid_loss": [1 / epoch for epoch in range(1, 11)]},
        ),
        (
            judges.training_loss_falls_more_until(5),
            {"valid_loss": [1.0] * 10},
            {"valid_loss": [2 / epoch for epoch in range(1, 11)]},
        ),
        (judges.fluctuates_from(5), {"valid_loss": [1.0] * 9 + [1.1]}, {}),
    ],
)
def test_a_judge_tells_what_holds_from_what_does_not(judge, holding, failing):
    for columns, expected in ((holding, "confirmed"), (failing, "not confirmed")):
        one = variant(S10, **columns)
        assert judge(one, every(one)).verdict == expected


def test_recalls_far_apart_are_not_balanced():
    one = variant(S4)
    assert judges.balanced(one, every(one)).verdict == "confirmed"
    cats = one.metrics["test"]["per_class"]["cat"] | {"recall": 0.6}
    one.metrics["test"]["per_class"] |= {"cat": cats}
    found = judges.balanced(one, every(one))
    assert found.verdict == "not confirmed"
    assert "60.00 % (cat)" in found.figures


@pytest.mark.parametrize(("gap", "opens"), [(0.03, "confirmed"), (0.024, "not confirmed")])
def test_a_gap_opens_if_one_epoch_more_widens_it(gap, opens):
    four, five = variant(S4, train=0.76, valid=0.74), variant(S5, train=0.76 + gap, valid=0.76)
    assert judges.gap_opens(five, four, every(four, five)).verdict == opens
    assert judges.gap_stays(five, four, every(four, five)).verdict != opens


def test_a_network_underfits_that_is_far_worse_on_its_own_training_pictures():
    full = variant(S10, train=0.8)
    full.metrics["validation"]["loss"] = 0.5
    full.metrics["train"]["loss"] = 0.4
    for train, expected in ((0.7, "confirmed"), (0.76, "not confirmed")):
        assert judges.underfits(variant(S3, train=train), full, {}).verdict == expected


def test_the_control_must_pass_80_percent_to_blame_the_schedule():
    step = variant(S10, 0.76, seeds=(0.762, 0.758))
    for test, expected in ((0.85, "confirmed"), (0.79, "not confirmed")):
        cosine = variant("small-dropout0-epochs10-cosine", test)
        assert judges.schedule_limits(cosine, step, every(cosine, step)).verdict == expected


def test_every_conclusion_needs_experiments_that_exist():
    assert {name for row in CONCLUSIONS for name in row.needs} <= set(EXPERIMENTS)


def test_the_history_reads_back_as_numbers(published):
    path = published / "model_cards" / S5 / "history.csv"
    assert measured.read_history(path) == history(5)
    with path.open(newline="") as file:
        assert len(list(csv.reader(file))) == 6
    assert json.loads((path.parent / "metrics.json").read_text())["epochs"] == 5
