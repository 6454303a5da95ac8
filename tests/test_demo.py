"""The demo without a browser: its API as programs call it, and the answers behind its tabs."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gradio import EventData
from gradio_client import Client, handle_file
from PIL import Image

from demo import answers, api, conclusions, editor, explore, figures, overfitting, try_it
from demo import page as page_of
from demo.markup import data_url, maps
from demo.sample import example_files, file_of, sample
from demo.serving.decode import MAX_SIDE
from demo.text import describe, describe_map
from mobilenetv3_cifar import MobileNetV3Cifar, list_variants
from mobilenetv3_cifar.preprocessing import LABELS

pytest_plugins = ["tests.demo_server"]
pytestmark = pytest.mark.filterwarnings("ignore:::gradio", "ignore:::PIL")
CAT = Path("demo/assets/cat.png")


@pytest.fixture(scope="module")
def client(url):
    return Client(url, verbose=False)


@pytest.fixture
def cat():
    return Image.open(CAT).convert("RGB")


def test_classify_answers_with_every_label_and_an_overlay(client, shipped):
    answer, overlay, details = client.predict(
        image=handle_file(str(CAT)), variant="small-second", api_name="/classify"
    )
    expected = MobileNetV3Cifar.from_pretrained(shipped / "small-second").predict(CAT, top_k=None)
    assert answer["label"] == next(iter(expected))
    assert [row["label"] for row in answer["confidences"]] == list(expected)
    found = [row["confidence"] for row in answer["confidences"]]
    np.testing.assert_allclose(found, list(expected.values()), rtol=1e-5)
    assert Image.open(overlay).size == (256, 256)
    assert details == {
        "boxes": [[0, 0, 1, 1]],
        "layer": "features",
        "blank": False,
        "ood_score": pytest.approx(expected.ood_score, rel=1e-5),
        "probably_none": expected.probably_none,
    }


def test_classify_uses_the_best_variant_and_the_predicted_class_by_default(client):
    image = handle_file(str(CAT))
    answer, overlay, _ = client.predict(image=image, api_name="/classify")
    named, same, _ = client.predict(
        image, "small-best", "gradcam", answer["label"], 0.5, api_name="/classify"
    )
    assert answer == named
    np.testing.assert_array_equal(Image.open(overlay), Image.open(same))


def test_opacity_0_gives_the_image_and_another_target_another_map(client, cat):
    image = handle_file(str(CAT))
    plain = client.predict(image=image, opacity=0, api_name="/classify")[1]
    enlarged = cat.resize((256, 256), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(np.asarray(Image.open(plain)), np.asarray(enlarged))
    drawn = [
        np.asarray(Image.open(client.predict(image=image, target=label, api_name="/classify")[1]))
        for label in ("cat", "ship")
    ]
    assert (drawn[0] != drawn[1]).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "../../etc"}, "No variant is called '../../etc'"),
        ({"method": "magic"}, "Method must be one of gradcam"),
        ({"target": "unicorn"}, "Target must be one of airplane"),
        ({"opacity": 7}, "Opacity must be a number from 0 to 1, not 7"),
        ({"opacity": None}, "Opacity must be a number from 0 to 1, not None"),
        ({"opacity": "half"}, "Opacity must be a number from 0 to 1, not 'half'"),
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


@pytest.mark.parametrize("language", ["python", "bash"])
def test_the_examples_on_the_page_run_as_they_stand(url, tmp_path, language):
    shutil.copy(CAT, tmp_path / "image.jpg")
    (code,) = re.findall(rf"```{language}\n(.*?)```", api.describe(f"{url}/"), re.DOTALL)
    program = [sys.executable, "-c"] if language == "python" else ["bash", "-euc"]
    done = subprocess.run(
        [*program, code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )
    assert any(label in done.stdout for label in LABELS)
    assert "probably_none" in done.stdout or "False" in done.stdout


def test_no_file_that_was_served_is_written_again():
    output = api.OverlayImage(format="png")
    image = Image.new("RGB", (8, 8), "red")
    first, second = output.postprocess(image), output.postprocess(image)
    assert first.path != second.path
    html = maps(image, [try_it.Map(np.ones((4, 4), np.float32), "", "")], "name")
    assert "/file=" not in html
    assert html.count("data:image/png;base64,") == 2


@pytest.mark.parametrize("ratio", np.linspace(46, 50, 9))
@pytest.mark.parametrize("side", [3, 11, 40, 97])
@pytest.mark.parametrize("upright", [True, False])
def test_the_narrowest_images_that_are_accepted_stay_acceptable(ratio, side, upright):
    size = (int(side * ratio), side)
    image = Image.new("RGB", size[::-1] if upright else size)
    short, long = sorted(answers.reduce(image).size)
    assert long <= max(MAX_SIDE, 32)
    assert long <= 50 * short


def test_a_narrow_image_is_answered_and_drawn_everywhere(shipped):
    image = Image.new("RGB", (2000, 40), "red")
    html = try_it.show_one(answers.answer(image, "small-best"))
    assert "--ratio:512/11" in html
    assert api.blend(answers.answer(image, "small-best"), 0.5).size == (512, 11)


def test_a_blank_map_is_called_blank_and_not_drawn(cat):
    nothing = answers.Explanation(
        np.zeros((32, 32), np.float32),
        "cat",
        0.9,
        blank=True,
        probabilities=answers.Prediction({"cat": 0.9, "dog": 0.1}, 1.0, False),
    )
    found = answers.Answer("any", "gradcam", cat, (nothing,), ("features",), 0.1)
    assert "without a map" in describe_map(found)
    assert "No evidence" in try_it.caption(found, 0)
    assert "blank map" in try_it.compare_caption(found)
    assert 'class="heat"' not in try_it.show_maps(found)
    plain = cat.resize((256, 256), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(api.blend(found, 0.9), plain)


def test_a_map_that_no_class_changes_is_not_called_evidence_for_one(shipped, cat):
    for method, said in (("gradcam", True), ("eigencam", False)):
        found = answers.answer(cat, "small-best", method, ["ship"])
        assert ("evidence for ship" in describe_map(found)) == said
        assert ("strongest pattern" in describe_map(found)) != said


def test_an_image_that_is_probably_of_no_class_is_called_so(shipped, monkeypatch, cat):
    found = answers.answer(cat, "small-best")
    assert "Probably none of the ten classes" not in describe(found)
    model = answers.load("small-best")
    score = found.probabilities.ood_score
    monkeypatch.setattr(model, "config", replace(model.config, ood_threshold=score + 0.01))
    found = answers.answer(cat, "small-best")
    assert "Probably none of the ten classes" in describe(found)
    assert "probably none" in try_it.compare_caption(found)


def test_a_photograph_gets_careful_words(shipped):
    large, small = (Image.new("RGB", (side, side), "red") for side in (33, 32))
    text = describe(answers.answer(large, "small-best"))
    assert "fits best" in text
    assert "Averaged over 3 crops" in text
    text = describe(answers.answer(small, "small-best"))
    assert "fits best" not in text
    assert "crops" not in text


def test_maps_of_several_classes_share_one_scale(shipped, cat):
    labels = answers.likeliest(cat, "small-best", 3)
    found = answers.answer(cat, "small-best", targets=labels)
    peaks = [each.peak for each in found.explanations]
    drawn = [heatmap.max() for heatmap in found.heatmaps() if heatmap is not None]
    expected = [peak / max(peaks) for peak in peaks if peak > 0]
    np.testing.assert_allclose(drawn, expected, rtol=1e-4)
    assert max(drawn) == pytest.approx(1)


def test_every_layer_is_drawn_on_its_own_scale(shipped, cat):
    found = try_it.ask_one(cat, "small-best", try_it.LAYERS, "cat", "gradcam")
    assert found.layers == tuple(answers.layer_names("small-best"))
    assert all(
        heatmap.max() == pytest.approx(1) for heatmap in found.heatmaps() if heatmap is not None
    )
    assert f"layer 1 of {len(found.layers)}" in try_it.caption(found, 0)


@pytest.mark.parametrize("count", [1, 2])
def test_a_network_of_few_strides_shows_the_layers_that_it_has(monkeypatch, cat, count):
    network = MobileNetV3Cifar(size="small", blocks="cifar32", image_size=32).eval()
    names = network.layers()[-count:]
    monkeypatch.setattr(network, "layers", lambda: names)
    monkeypatch.setattr(answers, "load", lambda name: network)
    monkeypatch.setattr(answers, "load_torch", lambda name: network)
    found = try_it.ask_one(cat, "any", try_it.LAYERS, "predicted", "gradcam")
    assert try_it.show_one(found).count('role="img"') == count


def test_the_changed_image_is_answered_and_what_is_no_image_refused(shipped, cat):
    same = editor.ask(data_url(cat), "small-best")
    top = next(iter(answers.answer(cat, "small-best").probabilities))
    assert f"<b>{top}</b>" in same
    assert "cannot be used" in editor.ask("data:image/png;base64,???", "small-best")
    assert "cannot be used" in editor.ask("file:///etc/passwd", "small-best")
    assert editor.ask("", "small-best") == editor.EMPTY


def test_explore_sorts_the_sample_into_right_and_wrong(shipped):
    every = {
        outcome: {entry.index for entry, _ in explore.passing("small-best", explore.ANY, outcome)}
        for outcome in (explore.ANY, explore.RIGHT, explore.WRONG)
    }
    assert every[explore.ANY] == {entry.index for entry in sample()}
    assert every[explore.RIGHT] | every[explore.WRONG] == every[explore.ANY]
    assert not every[explore.RIGHT] & every[explore.WRONG]
    images, matrix = explore.choose("small-best", "cat", explore.ANY)
    assert images.count("data-id") == 30
    assert "30 of 300 images" in images
    assert 'aria-label="cat predicted dog: 77"' in matrix


def test_a_cell_of_the_confusion_matrix_shows_its_images(shipped):
    truth, predicted = explore.choose_cell(EventData(None, {"id": "cat:dog"}))
    assert (truth, predicted) == ("cat", "dog")
    found = explore.passing("small-best", truth, predicted)
    assert all((entry.label, label) == ("cat", "dog") for entry, label in found)


def test_the_image_that_was_chosen_is_explained_whatever_the_filters_show_now(shipped):
    entry = sample()[7]
    html = explore.explain_one(EventData(None, {"id": entry.key}), "small-best")
    assert f"Test image {entry.index}: the true class is <b>{entry.label}</b>" in html
    assert f"?image={entry.key}" in html
    unknown = explore.explain_one(EventData(None, {"id": "test-99999"}), "small-best")
    assert unknown == explore.CHOOSE


def test_networks_are_sorted_into_underfitting_fitting_and_overfitting(shipped):
    assert figures.fitting("small") == ("small-underfit", "small-best", "small-second")
    assert figures.fitting("large") == (None, None, None)
    html = overfitting.page()
    assert "95.00 % on training images, 70.00 % on validation images" in html
    assert "None of the shipped networks of this size overfits" in html


def test_conclusions_are_shown_with_verdict_figures_and_curves(shipped, monkeypatch, tmp_path):
    rows = conclusions.read()
    assert {row["verdict"] for row in rows} <= {"confirmed", "not confirmed", "not decidable"}
    assert all(set(row) == set(conclusions.Conclusion.__annotations__) for row in rows)
    html = conclusions.show(EventData(None, {"id": "2"}))
    assert rows[2]["says"] in html
    monkeypatch.setattr(conclusions, "FILE", tmp_path / "missing.json")
    assert conclusions.read() == []
    assert conclusions.show(EventData(None, {"id": "2"})) == conclusions.CHOOSE


@pytest.mark.parametrize(
    ("given", "expected"),
    [("cat", "cat.png"), ("test-90", "test-90.png"), ("test-1x", None), ("../app", None)],
)
def test_an_image_is_named_by_its_key(given, expected):
    path = file_of(given)
    assert (path and path.name) == expected


def test_restoring_checks_every_value():
    assert page_value("view", "all") == "all"
    assert page_value("view", "none of them") is None
    assert page_value("image", "dog").endswith("dog.png")
    assert page_value("image", "/etc/passwd") is None


def page_value(key, value):
    found = page_of.restored(key, None, {key: value})
    return found if isinstance(found, str) else None


def test_the_shipped_images_are_those_of_the_test_set():
    assert len(sample()) == 300
    assert [sum(entry.label == label for entry in sample()) for label in LABELS] == [30] * 10
    assert [Image.open(file).size for file in example_files()] == [(32, 32)] * 10
    in_both = [
        entry for entry in sample() if entry.index in (90, 82, 75, 103, 94, 16, 29, 60, 54, 11)
    ]
    assert in_both
    for entry in in_both:
        file = next(file for file in example_files() if file.stem == entry.label)
        np.testing.assert_array_equal(np.asarray(Image.open(file)), np.asarray(entry.image))
