"""These tests check docs/recipe.md, which is generated from the JSON files of training runs."""

import json
from types import SimpleNamespace

import pytest

from training.reports import recipes

RUN = {
    "name": "baseline",
    "setting": {"optimizer": "Muon(lr=0.02)", "schedule": "'linear'", "ema": "0.0"},
    "epochs": 20,
    "split": "45k/5k",
    "seed": 0,
    "device": "a GPU",
    "commit": "c0ffee",
    "seconds": 1800.0,
    "images": 900_000,
    "validation_accuracy": 0.93,
    "history": {"epoch": [1], "valid_accuracy": [0.5]},
}


def write(docs, **runs):
    (docs / "runs").mkdir(exist_ok=True)
    for name, run in runs.items():
        (docs / "runs" / f"{name}.json").write_text(json.dumps(run))


def test_every_run_is_listed_in_order_with_what_varies(tmp_path, monkeypatch):
    names = [*recipes.GOALS, "baseline"]
    variants = [SimpleNamespace(name=name, test_accuracy=0.9) for name in names]
    monkeypatch.setattr(recipes, "list_variants", lambda: variants)
    averaged = RUN | {
        "name": "averaged",
        "setting": RUN["setting"] | {"ema": "0.999"},
        "validation_accuracy": 0.921,
    }
    final = RUN | {"name": "final", "split": "50k"}
    short = RUN | {"name": "ablation-short", "kind": "ablation", "epochs": 1}
    files = {
        "02-averaged": averaged,
        "01-baseline": RUN,
        "03-final": final,
        "ablation-short-seed-0": short,
    }
    write(tmp_path, **files, **{"baseline-seed-0": RUN})
    recipes.write_recipes(tmp_path)
    text = (tmp_path / "recipe.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    goals = [line for line in lines if "missed" in line or "met" in line]
    assert [line for line in lines if line not in goals] == [
        "| `baseline` | ema `0.0` | 20 | 45k/5k | 0 | a GPU | 0.50 | 900,000 | 93.00 % |",
        "| `averaged` | ema `0.999` | 20 | 45k/5k | 0 | a GPU | 0.50 | 900,000 | 92.10 % |",
        "| `final` | ema `0.0` | 20 | 50k | 0 | a GPU | 0.50 | 900,000 | 93.00 % |",
        "| `baseline`, shipped | ema `0.0` | 20 | 45k/5k | 0 | a GPU | 0.50 | 900,000 | 93.00 % |",
        "| `optimizer` | `Muon(lr=0.02)` |",
        "| `schedule` | `'linear'` |",
        "| `ablation-short` | as below | 1 | 45k/5k | 0 | a GPU | 0.50 | 900,000 | 93.00 % |",
        *(f"| `{name}` | `{value}` |" for name, value in RUN["setting"].items()),
    ]
    assert "In total, the runs took 2.0 hours for 3,600,000 training images, each" in text


@pytest.mark.parametrize(("accuracy", "verdict"), [(0.955, "met"), (0.9549, "missed")])
def test_the_page_says_whether_a_goal_is_met(tmp_path, monkeypatch, accuracy, verdict):
    variants = [SimpleNamespace(name=name, test_accuracy=accuracy) for name in recipes.GOALS]
    monkeypatch.setattr(recipes, "list_variants", lambda: variants)
    write(tmp_path, baseline=RUN)
    recipes.write_recipes(tmp_path)
    text = (tmp_path / "recipe.md").read_text()
    assert f"| `large-cifar32` | {accuracy:.2%}".replace("%", " %") in text
    assert f" | 95.50 %: {verdict} | 96.00 %: missed |" in text
    assert "## Ablations" not in text


def test_without_runs_nothing_is_written(tmp_path):
    recipes.write_recipes(tmp_path)
    assert list(tmp_path.iterdir()) == []
