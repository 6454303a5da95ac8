"""These tests check the demo's images, its URL and all tabs except the first, without a server."""

import json

import numpy as np
import pytest
from gradio import Dropdown, EventData, skip
from PIL import Image

from demo import charts, claims, experiments, explore, overfitting, try_it
from demo import page as page_of
from demo.sample import example_files, file_of, sample
from mobilenetv3_cifar.preprocessing import LABELS

pytest_plugins = ["tests.demo_server"]
pytestmark = pytest.mark.filterwarnings("ignore:::gradio", "ignore:::PIL")


@pytest.mark.parametrize("sent", [None, "cat", [0.5], [0.1] * 3, [float("nan")] * 2, [[], 1], {}])
def test_a_forged_place_or_cell_changes_nothing(sent):
    event = EventData(None, {"id": sent})
    assert try_it.hide("change", event) == skip()
    assert explore.pick_cell(event) in ([explore.ANY] * 2, ["cat", explore.ANY])


def test_explore_sorts_the_sample_into_right_and_wrong(shipped):
    every = {
        outcome: explore.passing("small-best", explore.ANY, outcome).keys()
        for outcome in (explore.ANY, explore.RIGHT, explore.WRONG)
    }
    assert every[explore.ANY] == sample().keys()
    assert every[explore.RIGHT] | every[explore.WRONG] == every[explore.ANY]
    assert not every[explore.RIGHT] & every[explore.WRONG]
    images = explore.choose("small-best", "cat", explore.ANY)
    assert images.count("data-id") == 30
    assert "30 of 300 images" in images
    assert 'aria-label="cat predicted dog: 77"' in explore.confusion("small-best")
    chosen = explore.pick_cell(EventData(None, {"id": "cat:dog"}))
    for key, label in explore.passing("small-best", *chosen).items():
        assert (sample()[key].label, label) == ("cat", "dog")


def test_a_test_image_is_explained_with_its_true_class(shipped):
    key, entry = list(sample().items())[7]
    html = explore.explain_one(key, "small-best")
    assert f"Test image {entry.test_index}: the true class is <b>{entry.label}</b>" in html
    assert f"?image={key}" in html
    assert explore.explain_one("test-99999", "small-best") == explore.CHOOSE


def test_networks_are_sorted_into_underfitting_fitting_and_overfitting(shipped):
    networks = overfitting.fitting("small")
    assert list(networks.values()) == ["small-underfit", "small-best", "small-second"]
    assert not any(overfitting.fitting("large").values())
    assert overfitting.rise("small-second") == pytest.approx(0.25)
    html = overfitting.page()
    assert "The validation loss ends 25.0\xa0% above its lowest value." in html
    assert "The validation loss ends at its lowest value." in html
    assert "72.00\xa0% on its 35,000 training images, 70.00\xa0% on validation images" in html
    assert "No shipped network of this size overfits." in html


def test_curves_are_read_out_at_an_epoch(shipped):
    html = experiments.draw("small-best", "small-second", 50)
    assert html.count('class="train n1"') == 3  # the legend, the accuracy curve and the loss curve
    assert "small-second, epoch 1: training 40.0\xa0%, validation 50.0\xa0%" in html
    assert "small-best, epoch 2:" in experiments.draw("small-best", experiments.NONE, 100)


def test_calibration_is_described_and_drawn(shipped):
    assert "Over all 10,000 test images, probability and accuracy differ by 1.2 points" in (
        experiments.describe_calibration("small-best")
    )
    rows = [(0.5, True), (0.5, False), (0.9, True)]
    assert 'points="0.5,0.5 0.9,1"' in charts.reliability(sorted(rows), groups=2)


def test_claims_are_shown_with_verdict_numbers_and_curves(shipped):
    rows = json.loads(claims.FILE.read_text())
    assert {row["verdict"] for row in rows} <= {"confirmed", "not confirmed", "not decidable"}
    html = claims.page([rows[2] | {"experiment": "small-best"}, *rows[3:]])
    assert rows[2]["says"] in html
    assert html.count("<details>") == len(rows) - 2
    of_report = sum(row["where"].startswith("section") for row in rows[2:])
    assert f"Of the report's {of_report} claims: " in html
    # Only the first row's network is in `shipped`, so only the two charts of this row are shown.
    assert html.count('<svg class="chart"') == 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [("cat", "cat.png"), ("test-90", "test-90.png"), ("test-1x", None), ("../app", None)],
)
def test_an_image_is_named_by_its_key(given, expected):
    path = file_of(given)
    assert (path and path.name) == expected


@pytest.mark.parametrize(
    ("key", "value", "known"),
    [
        ("view", "all", True),
        ("view", "none of them", False),
        ("image", "dog", True),
        ("image", "/etc/passwd", False),
        ("chosen", "test-90", True),
        ("chosen", "test-x", False),
        ("tab", "explore", True),
        ("tab", "", False),
    ],
)
def test_only_known_values_of_an_address_are_restored(key, value, known):
    view = Dropdown(try_it.VIEWS)
    assert (page_of.restored(key, view, value) is not None) == known


def test_the_shipped_images_are_those_of_the_test_set():
    assert len(sample()) == 300
    labels = [entry.label for entry in sample().values()]
    assert [labels.count(label) for label in LABELS] == [30] * 10
    for file, index in zip(example_files(), (90, 82, 75, 103, 94, 16, 29, 60, 54, 11), strict=True):
        image = Image.open(file)
        assert image.size == (32, 32)
        if entry := sample().get(f"test-{index}"):
            assert entry.label == file.stem
            np.testing.assert_array_equal(np.asarray(image), np.asarray(entry.image))
