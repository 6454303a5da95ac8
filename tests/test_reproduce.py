"""The tables and conclusions, from figures made up for the purpose."""

import csv
import json

import pytest

from mobilenetv3_cifar import variants
from mobilenetv3_cifar.preprocessing import LABELS
from training import conclusions, publish, reproduce
from training.conclusions import Conclusion, Measured, judge
from training.experiments import EXPERIMENTS

S4, S5 = "small-dropout0.7-epochs4", "small-dropout0.7-epochs5"


def split(accuracy):
    of_a_class = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 1000}
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


def metrics(name, test, train=0.76, seed=0):
    row = EXPERIMENTS[name]
    return {
        "name": name,
        "seed": seed,
        "epochs": row.epochs,
        "parameters": 1_836_082,
        "macs": 59_018_208,
        "weights": {"precision": "float32", "validation_change": 0.0},
        "train": {"correct": 1, "total": 35_000, "accuracy": train, "loss": 0.6},
        "validation": split(0.74),
        "test": split(test),
        "report": vars(row.report) if row.report else None,
        "training": {
            "seconds": 60.5,
            "device": "cpu: a processor",
            "torch": "2",
            "commit": "c0ffee",
            "data_sha256": "d",
        },
    }


def history(epochs, **last):
    rows = [
        {
            "epoch": float(epoch),
            "lr": 1e-3,
            "train_loss": 1 / epoch,
            "train_accuracy": 0.7,
            "valid_loss": 1 / epoch,
            "valid_accuracy": 0.7,
            "seconds": 10.0,
        }
        for epoch in range(1, epochs + 1)
    ]
    rows[-1] |= last
    return rows


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Two published experiments, one with three seeds, and a README with the markers."""
    cards = tmp_path / "model_cards"
    for name, test in ((S4, 0.75), (S5, 0.76)):
        folder = cards / name
        (folder / "seeds").mkdir(parents=True)
        publish.write_json(folder / "metrics.json", metrics(name, test))
        publish.write_json(folder / "config.json", {"temperature": 1.1, "unsure_below": 0.4})
        publish.write_history(folder / "history.csv", history(EXPERIMENTS[name].epochs))
        (folder / "model.safetensors").write_bytes(b"x" * 1_500_000)
    for seed, test in ((1, 0.752), (2, 0.748)):
        publish.write_json(cards / S4 / "seeds" / f"{seed}.json", metrics(S4, test, seed=seed))
    start = "<!-- variants: written by python -m training.reproduce -->"
    (tmp_path / "README.md").write_text(f"before\n{start}\n<!-- /variants -->\nafter\n")
    monkeypatch.setattr(variants, "variants_folder", lambda: cards)
    monkeypatch.setattr(reproduce, "CARDS", cards)
    return tmp_path


def written(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_table_sets_ours_beside_the_reports(published):
    comparison = reproduce.write_tables(published / "model_cards", published)
    (row,) = [line for line in comparison.splitlines() if line.startswith(f"| {S4} ")]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells == [
        *(S4, "74.65 %", "75.00 %", "+0.35", "75.00 ± 0.20 (3)"),
        *("74.59 %", "75.10 %", "74.65 %", "75.00 %"),
    ]
    assert f"| {S5} | not printed | 76.00 % |" in comparison
    assert "| large-dropout0-epochs10 | not trained yet |" in comparison


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


def measured(test, train=0.76, seeds=(), name=S4, **last):
    others = [metrics(name, other, seed=1) for other in seeds]
    return Measured(metrics(name, test, train), history(10, **last), others)


BETTER = Conclusion("somewhere", ("one", "other"), "one is better", conclusions.better)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (0.78, 0.75, "confirmed"),
        (0.72, 0.75, "not confirmed"),
        (0.752, 0.75, "not decidable"),
    ],
)
def test_a_difference_counts_beyond_two_of_its_standard_deviations(one, other, expected):
    variants = {"one": measured(one), "other": measured(other, seeds=(other + 0.002,))}
    found = judge(BETTER, variants)
    assert found.verdict == expected
    # sd of (x, x + 0.002) is 0.00141; two of a difference: 2 * sqrt(2) * 0.141 points
    assert "0.40" in found.figures


def test_without_a_spread_no_difference_is_decided():
    variants = {"one": measured(0.9), "other": measured(0.5)}
    assert judge(BETTER, variants).verdict == "not decidable"


def test_a_conclusion_about_an_untrained_variant_is_not_decidable():
    found = judge(BETTER, {"one": measured(0.9)})
    assert found == ("not decidable", "not trained yet: other")


def test_overfitting_is_a_gap_between_training_and_validation_accuracy():
    assert conclusions.overfits(measured(0.75, train=0.85), None).verdict == "confirmed"
    assert conclusions.overfits(measured(0.75, train=0.76), None).verdict == "not confirmed"


def test_a_plateau_is_flat_validation_with_rising_training():
    flat = measured(0.75, train_accuracy=0.75, valid_accuracy=0.701)
    rising = measured(0.75, train_accuracy=0.75, valid_accuracy=0.72)
    judge_plateau = conclusions.plateau_from(6)
    assert judge_plateau(flat, None).verdict == "confirmed"
    assert judge_plateau(rising, None).verdict == "not confirmed"


def test_the_control_must_pass_80_percent_to_blame_the_schedule():
    step, spread = measured(0.76), 0.002
    assert conclusions.schedule_limits(measured(0.85), step, spread).verdict == "confirmed"
    assert conclusions.schedule_limits(measured(0.79), step, spread).verdict == "not confirmed"


def test_every_conclusion_needs_experiments_that_exist():
    assert {name for row in conclusions.CONCLUSIONS for name in row.needs} <= set(EXPERIMENTS)


def test_the_history_reads_back_as_numbers(published):
    path = published / "model_cards" / S5 / "history.csv"
    assert reproduce.card.read_history(path) == history(5)
    with path.open(newline="") as file:
        assert len(list(csv.reader(file))) == 6
    assert json.loads((path.parent / "metrics.json").read_text())["epochs"] == 5
