"""These tests check docs/recipe.md, which is generated from the JSON files of training runs."""

import json

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


def test_every_run_is_listed_in_order_with_what_varies(tmp_path):
    averaged = RUN | {
        "name": "averaged",
        "setting": RUN["setting"] | {"ema": "0.999"},
        "validation_accuracy": 0.921,
    }
    final = RUN | {"name": "final", "split": "50k"}
    write(tmp_path, **{"02-averaged": averaged, "01-baseline": RUN, "03-final": final})
    recipes.write_recipes(tmp_path)
    text = (tmp_path / "recipe.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    assert lines == [
        "| `baseline` | ema `0.0` | 20 | 45k/5k | 0 | a GPU | 0.50 | 900,000 | 93.00 % |",
        "| `averaged` | ema `0.999` | 20 | 45k/5k | 0 | a GPU | 0.50 | 900,000 | 92.10 % |",
        "| `final` | ema `0.0` | 20 | 50k | 0 | a GPU | 0.50 | 900,000 | 93.00 % |",
        "| `optimizer` | `Muon(lr=0.02)` |",
        "| `schedule` | `'linear'` |",
    ]
    assert "In total, the runs took 1.5 hours for 2,700,000 training images, each" in text


def test_without_runs_nothing_is_written(tmp_path):
    recipes.write_recipes(tmp_path)
    assert list(tmp_path.iterdir()) == []
