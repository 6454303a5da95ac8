"""These tests call the demo's API as other programs do."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from demo import api
from mobilenetv3_cifar import MobileNetV3Cifar, list_variants
from mobilenetv3_cifar.preprocessing import LABELS
from tests.demo_server import CAT

pytest_plugins = ["tests.demo_server"]
pytestmark = pytest.mark.filterwarnings("ignore:::gradio", "ignore:::PIL")


@pytest.fixture(scope="module")
def client(url):
    return Client(url, verbose=False)


def test_classify_answers_with_every_label_and_an_overlay(client, shipped):
    answer, overlay, details = client.predict(
        image=handle_file(str(CAT)), variant="small-second", api_name="/classify"
    )
    expected = MobileNetV3Cifar.from_pretrained(shipped / "small-second").predict(CAT, top_k=None)
    assert answer["label"] == next(iter(expected))
    assert [row["label"] for row in answer["confidences"]] == list(expected)
    confidences = [row["confidence"] for row in answer["confidences"]]
    np.testing.assert_allclose(confidences, list(expected.values()), rtol=1e-5)
    assert Image.open(overlay).size == (256, 256)
    assert details == {
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


def test_opacity_0_gives_the_image_and_the_target_changes_the_map(client, cat):
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
        ({"variant": "../../etc"}, "Unknown variant '../../etc'"),
        ({"method": "magic"}, "Method must be one of gradcam"),
        ({"target": "unicorn"}, "Target must be one of airplane"),
        ({"opacity": 7}, "Opacity must be a number from 0 to 1, not 7"),
        ({"opacity": None}, "Opacity must be a number from 0 to 1, not None"),
        ({"opacity": "half"}, "Opacity must be a number from 0 to 1, not 'half'"),
    ],
)
def test_the_refusal_of_a_wrong_argument_says_what_is_allowed(client, change, message, capfd):
    with pytest.raises(Exception, match=message):  # the client's own error class is private
        client.predict(image=handle_file(str(CAT)), **change, api_name="/classify")
    assert "Traceback" not in capfd.readouterr().err


def test_compare_asks_every_variant_best_first(client):
    rows = client.predict(image=handle_file(str(CAT)), api_name="/compare")
    assert [row["variant"] for row in rows] == [each.name for each in list_variants()]
    assert all(row["label"] in LABELS and 0.1 <= row["probability"] <= 1 for row in rows)
    for row in rows:
        options = {"variant": row["variant"], "api_name": "/classify"}
        details = client.predict(image=handle_file(str(CAT)), **options)[2]
        assert row.items() >= {key: details[key] for key in ("ood_score", "probably_none")}.items()


def test_variants_lists_what_is_shipped(client):
    rows = client.predict(api_name="/variants")
    assert [row["name"] for row in rows] == ["small-best", "small-second", "small-underfit"]
    assert rows[0] == {
        "name": "small-best",
        "accuracy": 0.75,
        "parameters": 932_778,
        "macs": 59_000_000,
    }


def test_only_three_functions_are_public(client):
    named = client.view_api(return_format="dict")["named_endpoints"]
    assert set(named) == {"/classify", "/compare", "/variants"}


def test_the_example_on_the_page_runs_as_it_stands(url, tmp_path):
    shutil.copy(CAT, tmp_path / "image.jpg")
    (code,) = re.findall(r"```python\n(.*?)```", api.describe(f"{url}/"), re.DOTALL)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert re.search(rf"^({'|'.join(LABELS)}) (True|False) /", done.stdout, re.MULTILINE)
