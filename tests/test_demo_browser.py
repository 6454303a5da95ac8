"""These tests use the demo in a real browser, as a visitor does."""

import base64
import re

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect

import demo.page
from demo.sample import ASSETS
from tests.demo_visit import answered, show

pytest_plugins = ["tests.chromium", "tests.demo_server", "tests.demo_visit"]
pytestmark = pytest.mark.filterwarnings("ignore:::gradio", "ignore:::PIL")
EXAMPLE = ASSETS / "dog.png"
TABS = {  # for each tab, an element that appears once the tab is filled
    "Try it": "#answer .heat",
    "Test images": "#images button",
    "Overfitting": "#fitting svg",
    "Experiments": "#calibration svg",
    "Claims": "#claims details",
}


def bottom(page, selector):
    box = page.locator(selector).first.bounding_box()
    return box["y"] + box["height"]


@pytest.mark.parametrize(
    ("width", "height", "scheme", "last"),
    [
        (1366, 650, "light", "#legend"),
        (1280, 844, "light", "#legend"),
        (390, 844, "dark", "#answer .bars"),
    ],
)
def test_the_answer_is_in_view(visit, width, height, scheme, last):
    page = visit(width, scheme, height=height)
    page.locator("#examples button").nth(5).click()
    assert answered(page)
    assert bottom(page, last) <= height
    assert page.locator("#answer .map .heat").evaluate("image => image.naturalWidth") == 32
    assert "evidence for" in page.locator("#answer .map").get_attribute("aria-label")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_bars_are_in_view_while_a_slider_moves_on_a_phone(visit):
    page = visit(390, address="?image=dog")
    answered(page)
    slider = "#changes input[type=range] >> nth=-1"
    page.get_by_label("Fool it").check()
    page.locator(slider).wait_for()
    assert bottom(page, "#answer .bars") < page.locator("#changes").bounding_box()["y"]
    assert bottom(page, slider) <= 844


def test_an_example_is_classified_by_the_keyboard_alone(visit):
    page = visit()
    page.get_by_role("button", name="frog", exact=True).focus()
    page.keyboard.press("Enter")
    assert answered(page)


def test_an_image_is_pasted_from_the_clipboard(visit):
    page = visit()
    page.evaluate(
        """async image => {
            const bytes = Uint8Array.from(atob(image), letter => letter.charCodeAt(0));
            const blob = new Blob([bytes], { type: "image/png" });
            await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        }""",
        base64.b64encode(EXAMPLE.read_bytes()).decode(),
    )
    page.locator("#image").get_by_label("Paste from clipboard").click()
    assert answered(page)


def test_the_camera_takes_an_image(visit):
    page = visit()
    image = page.locator("#image")
    image.get_by_label("Capture from camera").click()
    image.get_by_text("Click to Access Webcam").click()
    page.wait_for_function("document.querySelector('#image video').readyState >= 3")
    image.get_by_label("capture photo", exact=True).click()
    assert answered(page)


def test_a_photograph_is_reduced_before_it_is_sent_and_loses_its_metadata(visit, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), np.uint8)
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    Image.fromarray(noise).save(tmp_path / "photo.jpg", exif=exif)
    page = visit()
    with page.expect_request("**/upload*") as sent:
        show(page, tmp_path / "photo.jpg")
    body = sent.value.post_data_buffer
    assert answered(page)
    if body is not None:  # Chromium does not always keep a request's body
        assert len(body) < (tmp_path / "photo.jpg").stat().st_size / 4
        assert b"a secret place" not in body
    size = page.locator("#image img").evaluate("image => [image.naturalWidth, image.naturalHeight]")
    assert size == [640, 480]


def test_opacity_is_blended_in_the_browser(visit, monkeypatch):
    page = visit(address="?image=dog")
    answered(page)
    monkeypatch.setattr("demo.answers.explain", None)  # so the server cannot make new maps
    page.locator(".opacity:visible").fill("0.9")
    heat = page.locator("#answer .heat").first
    assert heat.evaluate("image => getComputedStyle(image).opacity") == "0.9"


def test_another_class_and_every_layer_are_shown(visit):
    page = visit(address="?image=dog&class=ship")
    expect(page.locator("#answer figcaption")).to_contain_text("ship")
    page.get_by_label("Maps").click()
    page.get_by_role("option", name="of the top three classes").click()
    expect(page.locator("#answer .map")).to_have_count(3)
    page.get_by_label("Maps").click()
    page.get_by_role("option", name="at every layer").click()
    expect(page.locator("#answer figcaption").first).to_contain_text("layer 1 of")


def test_a_file_that_is_not_an_image_is_refused_in_the_page(visit, tmp_path):
    page = visit()
    page.evaluate("sessionStorage.setItem('own-image', 'an image that was sent before')")
    broken = tmp_path / "cat.png"
    broken.write_bytes(EXAMPLE.read_bytes()[:200])
    show(page, broken)
    expect(page.locator("#answer .answer")).to_contain_text("is damaged or cut short.")
    expect(page).to_have_url(re.compile(r"\?image=own$"))  # not "?image=cat", an example
    assert page.evaluate("sessionStorage.getItem('own-image')") == ""
    assert page.get_by_text("Error", exact=True).count() == 0
    page.get_by_role("button", name="cat", exact=True).click()
    assert answered(page)


def test_every_network_answers_and_no_image_is_broken(visit):
    page = visit(address="?image=dog&view=all")
    for example in range(4):
        page.locator("#examples button").nth(example).click()
        expect(page.locator("#answer .map")).to_have_count(3)
        page.wait_for_timeout(200)
        assert not page.evaluate(
            "[...document.images].filter(each => each.complete && !each.naturalWidth).length"
        )
    assert "of 3" in answered(page)


def test_the_answer_follows_what_a_visitor_does_to_the_image(visit):
    page = visit(address="?image=dog&view=change")
    answered(page)
    maps = page.locator("#answer .maps")  # the image is in its style attribute
    expect(page.locator("#answer .bars li")).to_have_count(10)
    before = maps.get_attribute("style")
    page.get_by_label("range slider for Rotate").fill("180")
    expect(maps).not_to_have_attribute("style", before)
    turned = maps.get_attribute("style")
    page.locator("#answer .map").click(position={"x": 40, "y": 40})
    expect(maps).not_to_have_attribute("style", turned)
    page.get_by_text("Undo all changes").click()
    expect(maps).to_have_attribute("style", before)


def test_the_address_says_what_is_shown(visit):
    page = visit()
    page.get_by_role("button", name="cat", exact=True).click()
    answered(page)
    page.get_by_label("All networks").check()
    expect(page.locator("#answer .map")).to_have_count(3)
    assert page.url.endswith("/?image=cat&view=all")
    page.get_by_text("Copy link").click()
    expect(page.locator("#share")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == page.url
    page.get_by_role("tab", name="Overfitting").click()
    page.locator("#fitting h2").first.wait_for()
    page.go_back()
    expect(page.locator("#answer .map")).to_have_count(3)
    expect(page.get_by_label("All networks")).to_be_checked()


def test_a_visitors_own_image_outlives_a_reload(visit, tmp_path):
    Image.new("RGB", (48, 48), "red").save(tmp_path / "red.png")
    page = visit()
    show(page, tmp_path / "red.png")
    answered(page)
    expect(page).to_have_url(re.compile(r"\?image=own$"))
    page.reload()
    answered(page)


def test_a_click_on_a_test_image_survives_restoring_an_address(visit):
    page = visit(address="?tab=explore&truth=cat&predicted=any")
    page.locator("#images button").first.click()  # the click comes as soon as a button appears
    expect(page.locator("#explained")).to_contain_text("Test image")
    expect(page.locator("#images button")).to_have_count(30)
    page.locator("#images button").nth(3).click()
    expect(page.locator("#explained")).to_contain_text("the true class is cat")
    page.wait_for_timeout(1000)
    expect(page.locator("#explained")).to_contain_text("the true class is cat")
    page.locator("#confusion [data-id='cat:dog']").click()
    expect(page).to_have_url(re.compile("chosen=.*predicted=dog|predicted=dog.*chosen="))
    page.locator("#explained a").click()
    answered(page)


def test_the_curves_of_two_networks_are_laid_over_each_other(visit):
    page = visit(address="?tab=experiments&second=small-second")
    row = page.locator("#overview tr", has_text="small-second")
    expect(row).to_contain_text("70.00 %")
    expect(row).to_contain_text("74.65 %")
    expect(page.locator("#details polyline.n1")).to_have_count(6)
    expect(page.locator("#epoch input[type=number]")).to_be_hidden()  # so that nobody can empty it
    page.get_by_label("range slider for Epoch").fill("50")
    expect(page.locator("#details")).to_contain_text("training 40.0 %, validation 50.0 %")
    page.locator("#calibration svg").wait_for()


def test_every_tab_is_visible_on_a_phone(visit):
    assert [*TABS] == [label for label, _ in demo.page.TABS.values()]
    page = visit(390)
    for tab, content in TABS.items():
        page.get_by_role("tab", name=tab).click()
        if tab != "Try it":
            page.locator(content).first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_reports_no_violations(visit, scheme):
    page = visit(scheme=scheme, address="?image=dog")
    answered(page)
    for tab, content in TABS.items():
        page.get_by_role("tab", name=tab).click()
        page.locator(content).first.wait_for()
        page.wait_for_timeout(500)
        violations = Axe().run(page).response["violations"]
        assert not [(each["id"], each["nodes"][0]["html"][:200]) for each in violations], tab
    page.get_by_role("tab", name="Try it").click()
    for view, maps in (("All networks", 3), ("Fool it", 1)):
        page.get_by_label(view).check()
        expect(page.locator("#answer .map")).to_have_count(maps)
        page.wait_for_timeout(500)
        violations = Axe().run(page).response["violations"]
        assert not [(each["id"], each["nodes"][0]["html"][:200]) for each in violations], view
