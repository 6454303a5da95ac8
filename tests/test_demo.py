"""The demo without a browser: its API as programs call it, and the answers behind its tabs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gradio import SelectData
from gradio_client import Client, handle_file
from PIL import Image

from demo import answers, compare, explore
from demo.sample import example_files, sample
from demo.words import describe, describe_map
from mobilenetv3_cifar import MobileNetV3Cifar, list_variants
from mobilenetv3_cifar.preprocessing import LABELS, to_square

pytest_plugins = ["tests.demo_server"]
pytestmark = pytest.mark.filterwarnings("ignore:::gradio", "ignore:::PIL")
CAT = Path("demo/assets/cat.png")


@pytest.fixture(scope="module")
def client(url):
    return Client(url, verbose=False)


def test_classify_answers_with_every_label_and_an_overlay(client, shipped):
    answer, overlay = client.predict(
        image=handle_file(str(CAT)), variant="small-second", api_name="/classify"
    )
    expected = MobileNetV3Cifar.from_pretrained(shipped / "small-second").predict(CAT, top_k=None)
    assert answer["label"] == next(iter(expected))
    assert [row["label"] for row in answer["confidences"]] == list(expected)
    found = [row["confidence"] for row in answer["confidences"]]
    np.testing.assert_allclose(found, list(expected.values()), rtol=1e-5)
    assert Image.open(overlay).size == (256, 256)


def test_classify_uses_the_best_variant_and_the_answered_class_by_default(client):
    image = handle_file(str(CAT))
    answer, overlay = client.predict(image=image, api_name="/classify")
    named, same = client.predict(
        image, "small-best", "gradcam", answer["label"], 0.5, api_name="/classify"
    )
    assert answer == named
    np.testing.assert_array_equal(Image.open(overlay), Image.open(same))


def test_opacity_0_gives_the_picture_and_another_target_another_map(client):
    image = handle_file(str(CAT))
    plain = client.predict(image=image, opacity=0, api_name="/classify")[1]
    enlarged = Image.open(CAT).convert("RGB").resize((256, 256), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(np.asarray(Image.open(plain)), np.asarray(enlarged))
    maps = [
        np.asarray(Image.open(client.predict(image=image, target=label, api_name="/classify")[1]))
        for label in ("cat", "ship")
    ]
    assert (maps[0] != maps[1]).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "../../etc"}, "No variant is called '../../etc'"),
        ({"method": "magic"}, "Method must be one of gradcam"),
        ({"target": "unicorn"}, "Target must be one of airplane"),
        ({"opacity": 7}, "Opacity must be from 0 to 1, not 7"),
        ({"opacity": None}, "Opacity must be from 0 to 1, not None"),
    ],
)
def test_a_wrong_argument_is_refused_with_what_would_be_right(client, change, message, capfd):
    with pytest.raises(Exception, match=message):  # the client's own error class is private
        client.predict(image=handle_file(str(CAT)), **change, api_name="/classify")
    assert "Traceback" not in capfd.readouterr().err


def test_compare_asks_every_variant_best_first(client):
    rows = client.predict(image=handle_file(str(CAT)), api_name="/compare")
    assert [row["variant"] for row in rows] == [each.name for each in list_variants()]
    assert all(row["label"] in LABELS and 0.1 <= row["probability"] <= 1 for row in rows)


def test_variants_lists_what_is_shipped(client):
    rows = client.predict(api_name="/variants")
    assert [row["name"] for row in rows] == ["small-best", "small-second", "small-underfit"]
    assert rows[0] == {
        "name": "small-best",
        "accuracy": 0.75,
        "parameters": 1_836_082,
        "macs": 59_000_000,
    }


def test_only_three_functions_are_public(client):
    named = client.view_api(return_format="dict")["named_endpoints"]
    assert set(named) == {"/classify", "/compare", "/variants"}


def test_a_blank_map_is_called_blank_and_not_painted():
    picture = Image.open(CAT).convert("RGB")
    nothing = answers.Explanation(np.zeros((32, 32), np.float32), "cat", 0.9, blank=True)
    found = answers.Answer(
        "any", "gradcam", picture, picture, {"cat": 0.9, "dog": 0.1}, nothing, 0.1, unsure=False
    )
    assert "The map is blank" in describe(found)
    assert "without a map" in describe_map(found)
    assert "blank map" in compare.caption(found)
    plain = picture.resize((256, 256), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(found.map_over_picture(0.9), plain)


def test_a_map_that_no_class_changes_is_not_said_to_speak_for_one(shipped):
    picture = Image.open(CAT).convert("RGB")
    for method, said in (("gradcam", True), ("eigencam", False)):
        found = answers.answer(picture, "small-best", method, target="ship")
        assert ("speaks for *ship*" in describe(found)) == said
        assert ("speaks for ship" in describe_map(found)) == said
        assert ("strongest pattern" in describe(found)) != said


def test_a_picture_that_is_unlikely_to_be_of_any_class_is_called_so(shipped, monkeypatch):
    picture = Image.open(CAT).convert("RGB")
    found = answers.answer(picture, "small-best")
    assert not found.unsure
    assert "none of the ten" not in describe(found)
    top = max(found.probabilities.values())
    model = answers.load("small-best")
    monkeypatch.setattr(model, "config", replace(model.config, ood_threshold=top + 0.01))
    found = answers.answer(picture, "small-best")
    assert "perhaps the picture shows none of the ten kinds" in describe(found)
    assert "perhaps none of them" in compare.caption(found)


@pytest.mark.parametrize(
    ("share", "spot", "box"),
    [
        (1, (5, 5), (0, 0, 100, 60)),
        (0.5, None, (35, 15, 65, 45)),
        (0.5, (40, 20), (25, 5, 55, 35)),
        (0.5, (0, 59), (0, 30, 30, 60)),
        (0.5, (500, -3), (70, 0, 100, 30)),
        (0.001, (40, 20), (40, 20, 41, 21)),
    ],
)
def test_a_part_lies_around_its_spot_and_within_the_picture(share, spot, box):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8)
    picture = Image.fromarray(pixels)
    assert np.array_equal(answers.part_of(picture, share, spot), picture.crop(box))


def test_of_a_photograph_the_sentence_says_that_there_were_several_looks(shipped):
    large, small = (Image.new("RGB", (side, side), "red") for side in (33, 32))
    assert "two at its middle" in describe(answers.answer(large, "small-best"))
    assert "two at its middle" not in describe(answers.answer(small, "small-best"))


def test_what_the_network_gets_is_the_whole_image(shipped):
    left = Image.new("RGB", (300, 100), "red")
    left.paste("blue", (150, 0, 300, 100))
    found = answers.answer(left, "small-best")
    expected = to_square(left, 224)
    np.testing.assert_array_equal(np.asarray(found.seen), np.asarray(expected))


def test_a_long_picture_is_shown_at_most_1024_pixels_long_and_keeps_its_shape(shipped):
    found = answers.answer(Image.new("RGB", (3000, 300), "red"), "small-best")
    assert found.map_over_picture(0.5).size == (1024, 102)
    assert found.explanation.heatmap.shape == (102, 1024)


def test_explore_sorts_the_sample_into_right_and_wrong(shipped):
    every = {
        outcome: {entry.index for entry, _ in explore.passing("small-best", explore.ALL, outcome)}
        for outcome in (explore.BOTH, explore.RIGHT, explore.WRONG)
    }
    assert every[explore.BOTH] == {entry.index for entry in sample()}
    assert every[explore.RIGHT] | every[explore.WRONG] == every[explore.BOTH]
    assert not every[explore.RIGHT] & every[explore.WRONG]
    text, gallery, pairs = explore.choose("small-best", "cat", explore.BOTH)
    assert len(gallery.value) == 30
    assert text == "30 of 300 pictures"
    assert "| cat, taken for dog | 77 |" in pairs


def test_a_click_on_a_picture_that_the_filters_took_away_asks_for_another(shipped):
    event = SelectData(None, {"index": 300, "value": None})
    found = explore.explain_one(event, "small-best", explore.ALL, explore.BOTH)
    assert found == (explore.CHOOSE, None, None)


def test_the_shipped_pictures_are_those_of_the_test_set():
    assert len(sample()) == 300
    assert [sum(entry.label == label for entry in sample()) for label in LABELS] == [30] * 10
    assert [Image.open(file).size for file in example_files()] == [(32, 32)] * 10
    in_both = [
        entry for entry in sample() if entry.index in (90, 82, 75, 103, 94, 16, 29, 60, 54, 11)
    ]
    assert in_both
    for entry in in_both:
        file = next(file for file in example_files() if file.stem == entry.label)
        np.testing.assert_array_equal(np.asarray(Image.open(file)), np.asarray(entry.picture))
