"""These tests check which content metrics.json must have, and the errors for wrong content."""

import json

import pytest

from mobilenetv3_cifar.variants import variants_folder
from tests.fake_results import int8, metrics
from training.errors import ResultsError
from training.reports.results import read
from training.reports.schema import read_metrics

NAME = "small-dropout0.7-epochs4"


def write(tmp_path, content):
    path = tmp_path / "metrics.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_committed_files_are_valid():
    paths = [*variants_folder().glob("*/metrics.json"), *variants_folder().glob("*/seeds/*.json")]
    assert len(paths) > 9
    for path in paths:
        assert read_metrics(path)["test"]["total"] == 10_000


def test_everything_optional_is_valid(tmp_path):
    content = metrics(NAME, 0.75) | {
        "kind": "own",
        "flip_averaged": {"correct": 7600, "total": 10_000, "accuracy": 0.76},
        "corruptions": {"blur": [0.7, 0.6], "noise": [0.7, 0]},
        "latency": [{"runtime": "PyTorch", "device": "cpu", "batch": 1, "milliseconds": 3}],
        "int8": int8(0.74),
    }
    content["validation"]["run"] = "large-cifar32-45k"
    content["training"]["images"] = 1_000_000
    assert read_metrics(write(tmp_path, content)) == content


def test_a_wrong_file_gives_one_line_with_the_key(tmp_path):
    def wrong(change):
        content = metrics(NAME, 0.75) | {"int8": int8(0.74)}
        change(content)
        with pytest.raises(ResultsError) as caught:
            read_metrics(write(tmp_path, content))
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / 'metrics.json'}: ")
        assert "\n" not in message
        return message.split(": ", 1)[1]

    assert wrong(lambda each: each.pop("macs")) == "macs is missing"
    assert wrong(lambda each: each["test"].pop("ece")) == "test.ece is missing"
    assert wrong(lambda each: each.update(mac=1)) == "mac is not a known key"
    assert wrong(lambda each: each.update(seed="0")) == "seed must be int, not '0'"
    assert wrong(lambda each: each.update(seed=True)) == "seed must be int, not True"
    assert wrong(lambda each: each["test"].update(loss=None)) == "test.loss must be float, not None"
    assert wrong(lambda each: each.update(test=[])) == "test must be dict, not []"
    assert wrong(lambda each: each.update(kind=1)) == "kind must be str, not 1"
    assert wrong(lambda each: each["test"]["per_class"]["cat"].update(f1="no")) == (
        "test.per_class.cat.f1 must be float, not 'no'"
    )
    assert wrong(lambda each: each["test"].update(confusion_matrix=[[1, 2.5]])) == (
        "test.confusion_matrix[0][1] must be int, not 2.5"
    )
    assert wrong(lambda each: each.update(report={"accuracy": 0.7, "recall": 0.7})) == (
        "report.precision is missing"
    )
    assert (
        wrong(lambda each: each["int8"].update(speedup=True))
        == "int8.speedup must be float, not True"
    )
    assert wrong(lambda each: each["int8"].update(bytes=None)) == "int8.bytes must be int, not None"


@pytest.mark.parametrize(
    ("content", "problem"),
    [("[]", "the file must be dict, not []"), ("{", "is not valid JSON")],
)
def test_a_file_that_is_not_a_json_object_is_refused(tmp_path, content, problem):
    with pytest.raises(ResultsError, match=r"metrics\.json") as caught:
        read_metrics(write(tmp_path, content))
    assert problem in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ResultsError, match=r"metrics\.json cannot be read: No such file"):
        read_metrics(tmp_path / "metrics.json")


def test_results_of_another_number_of_epochs_are_refused(tmp_path):
    (tmp_path / "history.csv").touch()
    (tmp_path / "seeds").mkdir()
    write(tmp_path, metrics(NAME, 0.75))
    assert read(tmp_path).metrics["epochs"] == 4
    write(tmp_path / "seeds", metrics(NAME, 0.75, seed=1) | {"epochs": 3})
    what = r"seeds/metrics\.json is of a run of 3 epochs, but its experiment now has 4: delete"
    with pytest.raises(ResultsError, match=what):
        read(tmp_path)
