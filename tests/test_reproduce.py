"""These tests check which files `training.reproduce` writes and which training runs it starts."""

import dataclasses
import json
import shutil
import threading
from types import SimpleNamespace

import pytest

from mobilenetv3_cifar import variants
from mobilenetv3_cifar.variants import variants_folder
from tests.fake_results import by_name, config, history, metrics, results
from training import reproduce
from training.errors import TrainingError
from training.experiments import EXPERIMENTS, Experiment
from training.loop.provenance import ROOT
from training.loop.run_folder import to_csv
from training.recipe import Distillation
from training.reports.claims import COSINE, L3, L4, S4, S5, S10
from training.reports.reproduction import document
from training.reports.text import to_json


@pytest.fixture
def no_figures(monkeypatch):
    """Make `write_tables` skip the figures, because drawing them is slow. One test draws them."""
    monkeypatch.setattr(reproduce, "draw_curves_and_matrices", lambda folder: None)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Make a folder with a README and the metrics of two experiments. S4 has three seeds."""
    cards = tmp_path / "model_cards"
    for name, test in ((S4, 0.75), (S5, 0.76)):
        folder = cards / name
        (folder / "seeds").mkdir(parents=True)
        write_json(folder / "metrics.json", metrics(name, test))
        (folder / "config.json").write_bytes(config())
        (folder / "history.csv").write_bytes(to_csv(history(EXPERIMENTS[name].epochs)))
        (folder / "model.safetensors").write_bytes(b"x" * 1_500_000)
    for seed, test in ((1, 0.752), (2, 0.748)):
        write_json(cards / S4 / "seeds" / f"{seed}.json", metrics(S4, test, seed=seed))
    start = "<!-- variants: written by python -m training.reproduce -->"
    (tmp_path / "README.md").write_text(f"before\n{start}\n<!-- /variants -->\nafter\n")
    (tmp_path / "demo" / "assets").mkdir(parents=True)
    monkeypatch.setattr(variants, "variants_folder", lambda: cards)
    monkeypatch.setattr(reproduce, "CARDS", cards)
    return tmp_path


def write_json(path, content):
    path.write_bytes(to_json(content))


def written(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_table_compares_our_results_with_the_reports(root, no_figures):
    comparison = reproduce.write_tables(root / "model_cards", root)
    (row,) = [line for line in comparison.splitlines() if line.startswith(f"| {S4} ")]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells == [
        *(S4, "74.65 %", "75.00 %", "+0.35"),
        *("74.59 %", "75.10 %", "+0.51"),
        *("74.65 %", "75.00 %", "+0.35"),
    ]
    assert f"| {S5} | not given | 76.00 % |" in comparison
    widths = {line.count("|") for line in comparison.splitlines()}
    assert len(widths) == 1


def test_the_answer_comes_first(root, no_figures):
    reproduce.write_tables(root / "model_cards", root)
    text = (root / "REPRODUCTION.md").read_text()
    # The standard deviation of one run is 0.2 points. For the mean of three runs minus the report's
    # single run, it is 0.2 * sqrt(4/3) = 0.23 points.
    assert f"| {S4} | accuracy | 74.65 % | 75.00 ± 0.20 % (3) | +0.35 | 0.99 | 0.46 | yes |" in text
    assert (
        f"| {S4} | precision | 74.59 % | 75.10 ± 0.20 % (3) | +0.51 | 0.99 | 0.46 | yes |" in text
    )
    assert "1 of the accuracies and 1 of the precisions are within the 95 % interval" in text
    assert "Outside the interval: none." in text
    assert f"These do not agree: `{S4}` (precision)." in text
    assert text.index("are within the 95 % interval") < text.index("## Scope")
    # The four-epoch run with seed 0 is the start of the five-epoch run, so the two count as one.
    # The four-epoch runs with seeds 1 and 2 were trained separately.
    assert "hours of training for 3 runs" in text
    assert f"| {S4} | 1 | 0.02 | 140,000 |" in text
    assert f"| {S4} | 0 |" not in text
    assert f"use several seeds (their number is in parentheses) for `{S4}` (3); all other" in text


def test_scores_outside_the_interval_are_named():
    text = document(by_name(results(S4, 0.78, seeds=(0.781, 0.779)), results(S5))).decode()
    outside = f"the accuracy of `{S4}` (+3.35 ± 0.50 points), the precision of `{S4}` (+3.51 ± 0.50"
    assert f"Outside the interval: {outside} points)." in text
    assert f"These do not agree: `{S4}` (accuracy and precision)." in text


def test_the_gain_with_a_cosine_schedule_is_computed():
    curve = [0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.76, 0.77, 0.78, 0.79]
    text = document(by_name(results(S10), results(COSINE, valid_accuracy=curve))).decode()
    assert "the learning rate, which is at most 9e-07 from epoch 7 on" in text
    assert "schedule instead, validation accuracy changes by +4.00 points after epoch 6" in text


def test_the_hardware_table_names_the_commits_of_a_run():
    one = results(S5)
    one.metrics["training"]["commit"] = f"{'a' * 40}+changes, {'b' * 40}"
    text = document(by_name(one)).decode()
    assert "| cpu: a processor | aaaaaaa+changes, bbbbbbb |" in text
    assert "All runs used\nPyTorch 2." in text


def test_claims_are_written_for_the_demo(root, no_figures):
    reproduce.write_tables(root / "model_cards", root)
    claims = json.loads((root / "demo" / "assets" / "claims.json").read_text())
    keys = {"where", "experiment", "says", "verdict", "original_verdict", "numbers"}
    assert all(each.keys() == keys for each in claims)
    assert {each["experiment"] for each in claims} <= {None, *EXPERIMENTS}
    (one,) = [each for each in claims if each["says"].startswith("a fifth epoch helps the S")]
    assert (one["experiment"], one["verdict"]) == (S5, "not decidable")
    assert "76.00 % against 75.00 %" in one["numbers"]


def test_networks_of_our_own_are_in_no_table_of_the_report(root, no_figures, monkeypatch):
    cards = root / "model_cards"
    reproduce.write_tables(cards, root)
    before = (root / "REPRODUCTION.md").read_bytes()
    row = dataclasses.replace(EXPERIMENTS[S10], name="ours", kind="own", report=None)
    monkeypatch.setitem(EXPERIMENTS, row.name, row)
    folder = shutil.copytree(cards / S5, cards / row.name)
    write_json(folder / "metrics.json", metrics(row.name, 0.95))
    shutil.copytree(cards / S4 / "seeds", folder / "seeds", dirs_exist_ok=True)
    reproduce.write_tables(cards, root)
    assert (root / "REPRODUCTION.md").read_bytes() == before
    assert "training recipe are this project's own" in (cards / "ours" / "README.md").read_text()


def test_wrong_metrics_end_in_one_line(root, monkeypatch):
    content = metrics(S4, 0.75)
    del content["test"]["ece"]
    write_json(root / "model_cards" / S4 / "metrics.json", content)
    monkeypatch.setattr("sys.argv", ["reproduce", "--tables-only"])
    monkeypatch.setattr(reproduce.write_tables, "__defaults__", (root / "model_cards", root))
    with pytest.raises(SystemExit) as ended:
        reproduce.main()
    assert str(ended.value).endswith(f"{S4}/metrics.json: test.ece is missing")


def test_everything_is_written_and_writing_again_changes_nothing(root):
    reproduce.write_tables(root / "model_cards", root)
    once = written(root)
    reproduce.write_tables(root / "model_cards", root)
    assert written(root) == once
    text = (root / "REPRODUCTION.md").read_text()
    assert "{{" not in text
    assert f"model_cards/{S4}/confusion_matrix.png" in text
    readme = (root / "README.md").read_text()
    assert readme.startswith("before")
    assert readme.endswith("after\n")
    assert (
        f"[`{S5}`](model_cards/{S5}) | 74.00 % | 76.00 % | 1,836,082 | 59.0 M | 1.5 MB |" in readme
    )


class FakeTraining:
    """A fake `Popen`. A process ends only when one process per device is running."""

    def __init__(self, devices, failing=""):
        self.started, self.stopped, self.failing = [], [], failing
        self.together = threading.Barrier(devices)

    def __call__(self, command):
        self.started.append(command[3:])
        process = SimpleNamespace(wait=lambda: self.wait(command))
        process.terminate = lambda: self.stopped.append(command[3])
        return process

    def wait(self, command):
        self.together.wait(10)
        return int(command[3] == self.failing)


def test_missing_runs_are_trained_longest_first(root, monkeypatch):
    (root / "model_cards" / S4 / "metrics.json").unlink()
    training = FakeTraining(1)
    monkeypatch.setattr(reproduce.subprocess, "Popen", training)
    reproduce.train_missing([S4, S5], ["--runs-dir", "elsewhere"])
    options = ["--runs-dir", "elsewhere"]
    expected = [(S4, "0"), (S5, "1"), (S5, "2")]
    assert training.started == [[name, "--seed", seed, *options] for name, seed in expected]


def test_each_device_trains_one_run_at_a_time(root, monkeypatch):
    training = FakeTraining(2)
    monkeypatch.setattr(reproduce.subprocess, "Popen", training)
    reproduce.train_missing([S5, L4, L3], [], ["cuda:0", "cuda:1"])
    assert len(training.started) == 4  # two seeds of S5, and one seed each of L4 and L3
    devices = [command[-2:] for command in training.started]
    assert sorted(map(tuple, devices[:2])) == [("--device", "cuda:0"), ("--device", "cuda:1")]


def test_a_run_starts_after_the_runs_of_its_teacher_and_twin(root, monkeypatch):
    teacher = Experiment("teacher", {}, 1)
    recipe = dataclasses.replace(teacher.recipe, distillation=Distillation("teacher", 0.5, 2.0))
    student = Experiment("student", {}, 3, recipe)
    twin = Experiment("twin", {"dropout": 0.1}, 2)
    everything = dataclasses.replace(twin.recipe, split="50k")
    last = Experiment("everything", twin.model, 2, everything, validated_by="twin")
    for row in (teacher, student, twin, last):
        monkeypatch.setitem(EXPERIMENTS, row.name, row)
    training = FakeTraining(2)
    monkeypatch.setattr(reproduce.subprocess, "Popen", training)
    reproduce.train_missing(["student", "everything", "twin", "teacher"], [], ["cpu", "mps"])
    started = [command[0] for command in training.started]
    assert (set(started[:2]), set(started[2:])) == ({"teacher", "twin"}, {"student", "everything"})


def test_a_run_that_fails_stops_the_others(root, monkeypatch):
    training = FakeTraining(2, failing=L4)
    monkeypatch.setattr(reproduce.subprocess, "Popen", training)
    with pytest.raises(TrainingError, match=f"{L4} with seed 0 failed"):
        reproduce.train_missing([L4, L3], [], ["cuda:0", "cuda:1"])
    assert set(training.stopped) == {L4, L3}


def test_an_unknown_experiment_is_refused_by_name(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["reproduce", "medium"])
    with pytest.raises(SystemExit):
        reproduce.main()
    assert "no experiment is called 'medium'; the names are small-" in capsys.readouterr().err


def test_the_committed_tables_and_cards_are_what_the_committed_results_give(tmp_path, no_figures):
    cards = shutil.copytree(variants_folder(), tmp_path / "model_cards")
    for name in ("README.md", "REPRODUCTION.md"):
        shutil.copy(ROOT / name, tmp_path)
    assets = shutil.copytree(ROOT / "demo" / "assets", tmp_path / "demo" / "assets")
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.md")}
    before |= {path: path.read_bytes() for path in assets.glob("*.json")}
    assert assets / "claims.json" in before
    reproduce.write_tables(cards, tmp_path)
    assert {path: path.read_bytes() for path in before} == before
    assert set(tmp_path.rglob("*.md")) <= before.keys()
