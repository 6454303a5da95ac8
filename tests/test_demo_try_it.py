"""These tests check the demo's first tab: its answers, activation maps and edited images."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from gradio import EventData
from PIL import Image

from demo import answers, api, text, try_it
from demo.sample import write_png
from demo.serving.decode import MAX_SIDE
from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.errors import ImageError
from mobilenetv3_cifar.preprocessing import LABELS

pytest_plugins = ["tests.demo_server"]
pytestmark = pytest.mark.filterwarnings("ignore:::gradio", "ignore:::PIL")
UNCHANGED = [start for *_, start in try_it.CHANGES.values()]


def test_a_file_that_was_served_is_never_overwritten(shipped, cat):
    assert write_png(cat, "same.png") != write_png(cat, "same.png")
    html = text.draw(answers.answer(cat, "small-best"))
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
    answer = answers.answer(image, "small-best")
    assert "--ratio:512/11" in try_it.show_one(answer)
    assert api.blend(answer, 0.5).size == (512, 11)


def test_a_blank_map_is_called_blank_and_not_drawn(cat):
    nothing = answers.Explanation(
        np.zeros((32, 32), np.float32),
        "cat",
        0.9,
        blank=True,
        probabilities=answers.Prediction({"cat": 0.9, "dog": 0.1}, 1.0, False),
    )
    answer = answers.Answer("any", "gradcam", cat, (cat,), (nothing,), ("features",), 0.1)
    html = text.draw(answer)
    assert "without a map" in html
    assert "no evidence" in html
    assert 'class="heat"' not in html
    plain = cat.resize((256, 256), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(api.blend(answer, 0.9), plain)


def test_a_map_that_is_the_same_for_all_classes_is_not_called_evidence(shipped, cat):
    for method, is_evidence in (("gradcam", True), ("eigencam", False)):
        html = text.draw(answers.answer(cat, "small-best", method, ["ship"]))
        assert ("evidence for ship" in html) == is_evidence
        assert ("strongest pattern" in html) != is_evidence


def test_an_image_that_is_probably_of_no_class_is_called_so(shipped, monkeypatch, cat):
    answer = answers.answer(cat, "small-best")
    assert "Probably none of the ten classes" not in text.describe(answer)
    model = answers.load("small-best")
    score = answer.probabilities.ood_score
    monkeypatch.setattr(model, "config", replace(model.config, ood_threshold=score + 0.01))
    answer = answers.answer(cat, "small-best")
    assert "Probably none of the ten classes" in text.describe(answer)
    assert "probably none" in try_it.show_all([answer])


def test_a_photograph_gets_careful_words_and_the_measured_accuracy(shipped, monkeypatch, tmp_path):
    row = {
        "accuracy": 0.66,
        "wrongly flagged as none": 0.3,
        "correctly flagged as none": 0.4,
    }
    measured = {"photographs": 30, "none": 86, "variants": {"small-best": row}}
    monkeypatch.setattr(text, "PHOTOGRAPHS_FILE", tmp_path / "photographs.json")
    text.PHOTOGRAPHS_FILE.write_text(json.dumps(measured))
    large, small = (Image.new("RGB", (side, side), "red") for side in (33, 32))
    html = try_it.show_one(answers.answer(large, "small-best"))
    for expected in ("fits best", "30 photographs", "66\xa0%", "40\xa0%"):
        assert expected in html
    assert "photographs" not in text.describe(answers.answer(large, "small-second"))
    html = try_it.show_one(answers.answer(small, "small-best"))
    assert not re.search("fits best|photographs", html)


def test_maps_of_several_classes_share_one_scale(shipped, cat):
    answer = try_it.ask_one(cat, "small-best", try_it.CLASSES, "predicted", "gradcam")
    assert [each.label for each in answer.explanations] == [label for label, _ in answer.top(3)]
    peaks = [each.peak for each in answer.explanations]
    drawn = [heatmap.max() for heatmap in answer.heatmaps() if heatmap is not None]
    np.testing.assert_allclose(drawn, [peak / max(peaks) for peak in peaks if peak], rtol=1e-4)


def test_every_layer_is_drawn_on_its_own_scale(shipped, cat):
    answer = try_it.ask_one(cat, "small-best", try_it.LAYERS, "cat", "gradcam")
    assert answer.layers == tuple(answers.load_torch("small-best").layers())
    drawn = [heatmap for heatmap in answer.heatmaps() if heatmap is not None]
    assert all(heatmap.max() == pytest.approx(1) for heatmap in drawn)
    assert f"layer 1 of {len(answer.layers)}" in text.draw(answer)


@pytest.mark.parametrize("count", [1, 2])
def test_a_network_of_few_strides_shows_the_layers_that_it_has(monkeypatch, cat, count):
    network = MobileNetV3Cifar(size="small", blocks="cifar32", image_size=32).eval()
    names = network.layers()[-count:]
    monkeypatch.setattr(network, "layers", lambda: names)
    monkeypatch.setattr(answers, "load_torch", lambda name: network)
    answer = try_it.ask_one(cat, "any", try_it.LAYERS, "predicted", "gradcam")
    assert try_it.show_one(answer).count('role="img"') == count


def test_an_image_is_changed_as_the_sliders_say(cat):
    def changed(**values):
        positions = dict(zip(try_it.CHANGES, UNCHANGED, strict=True)) | values
        return np.asarray(try_it.change(cat, *positions.values()), int)

    pixels = np.asarray(cat, int)
    np.testing.assert_array_equal(changed(), pixels)
    assert np.abs(changed(Rotate=90) - np.rot90(pixels, -1)).max() <= 1
    shifted = changed(**{"Shift across": 0.25, "Shift down": -0.125})
    np.testing.assert_array_equal(shifted[:28, 8:], pixels[4:, :24])
    assert (shifted[:, :8] == 127).all()
    hidden = (changed(**{"Hide: size": 0.5, "Hide: across": 0.25}) == 127).all(-1)
    assert hidden[16, 8]
    assert hidden.sum() == pytest.approx(np.pi * 8**2, rel=0.15)
    assert changed(Blur=0.1).std() < pixels.std()
    assert np.abs(changed(Zoom=2) - pixels).mean() > 5


def test_each_view_answers_the_question_it_asks(shipped, cat):
    def ask(view, image, *changes):
        settings = ("small-best", try_it.CLASS, "predicted", "gradcam")
        return try_it.ask(view, image, *settings, *(changes or UNCHANGED))

    top = answers.answer(cat, "small-best").label
    assert f"<b>{top}</b>" in ask("one", cat)
    assert ask("all", cat).count('class="map"') == 3
    labels = re.findall(r"<li><span>(\w+)", ask("change", cat))
    assert labels == sorted(LABELS)
    assert ask("change", cat) != ask("change", cat, 90, *UNCHANGED[1:])
    assert ask("change", None) == try_it.EMPTY
    assert "cannot be used" in ask("all", ImageError("it is damaged"))
    assert try_it.hide("change", EventData(None, {"id": [0.5, 0.1]})) == [0.3, 0.5, 0.1]
    assert "must be finite" in ask("change", cat, float("nan"), *UNCHANGED[1:])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_no_change_that_would_end_the_process_reaches_pillow(cat, value):
    for index in range(len(UNCHANGED)):
        changes = [*UNCHANGED]
        changes[index] = value
        with pytest.raises(ValueError, match="finite"):
            try_it.change(cat, *changes)
