"""The demo in a real browser, used as a visitor uses it. Without Chromium these tests fail."""

import base64
import re
import shutil

import pytest
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from demo.photograph import CHROMIUM_FLAGS, EXAMPLE

pytest_plugins = ["tests.demo_server"]
pytestmark = pytest.mark.filterwarnings("ignore:::gradio", "ignore:::PIL")
EXPECTED_CONSOLE = {"Method not implemented."}  # gradio's own, on every page
FAKE_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
PERMISSIONS = ["camera", "clipboard-read", "clipboard-write"]
SLOW = 30_000  # milliseconds, for a busy machine
expect.set_options(timeout=SLOW)


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium")
    assert chromium, "Chromium is missing: install the package chromium"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=chromium, args=[*CHROMIUM_FLAGS, *FAKE_CAMERA]
        )
        yield opened
        opened.close()


@pytest.fixture
def visit(browser, url):
    """Open the page; at the end nothing may have left its origin or complained in the console."""
    requests, console, contexts = [], [], []

    def open_page(width=1280, scheme="light"):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, permissions=PERMISSIONS
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(SLOW)
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: console.append(message.text))
        page.on("pageerror", lambda error: console.append(str(error)))
        page.goto(url)
        page.locator("#picture input[type=file]").wait_for(state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not [each for each in requests if not each.startswith((url, "data:", "blob:"))]
    assert set(console) <= EXPECTED_CONSOLE


def show(page, file, where="#picture"):
    page.locator(f"{where} input[type=file]").set_input_files(file)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_an_uploaded_picture_gets_its_label_and_its_map(visit, width, scheme):
    page = visit(width, scheme)
    show(page, EXAMPLE)
    page.locator("#overlay img").wait_for()
    expect(page.locator("#answer-sentence h3")).to_contain_text("% sure")
    expect(page.locator("#answer-label")).to_contain_text("%")
    assert page.locator("#overlay img").evaluate("image => image.naturalWidth") == 256
    assert "speaks for" in page.locator("#overlay img").get_attribute("alt")
    page.locator("#seen img").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_an_example_is_classified_by_the_keyboard_alone(visit):
    page = visit()
    example = page.get_by_role("button", name="frog", exact=True).first
    example.focus()
    page.keyboard.press("Enter")
    page.locator("#overlay img").wait_for()
    expect(page.locator("#answer-sentence h3")).to_contain_text("% sure")


def test_a_picture_is_pasted_from_the_clipboard(visit):
    page = visit()
    page.evaluate(
        """async picture => {
            const bytes = Uint8Array.from(atob(picture), letter => letter.charCodeAt(0));
            const blob = new Blob([bytes], { type: "image/png" });
            await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        }""",
        base64.b64encode(EXAMPLE.read_bytes()).decode(),
    )
    page.locator("#picture").get_by_label("Paste from clipboard").click()
    page.locator("#overlay img").wait_for()
    expect(page.locator("#answer-sentence h3")).to_contain_text("% sure")


def test_the_camera_takes_a_picture(visit):
    page = visit()
    picture = page.locator("#picture")
    picture.get_by_label("Capture from camera").click()
    picture.get_by_text("Click to Access Webcam").click()
    page.wait_for_function("document.querySelector('#picture video').readyState >= 3")
    picture.get_by_label("capture photo", exact=True).click()
    page.locator("#overlay img").wait_for()
    expect(page.locator("#answer-sentence h3")).to_contain_text("% sure")


def test_the_opacity_changes_the_map_without_asking_the_network(visit, monkeypatch):
    page = visit()
    show(page, EXAMPLE)
    overlay = page.locator("#overlay img")
    overlay.wait_for()
    before = overlay.get_attribute("src")
    sentence = page.locator("#answer-sentence").inner_text()
    monkeypatch.setattr("demo.classify.answer", None)  # whoever asks it now fails
    page.locator("#opacity input[type=number]").fill("0.9")
    page.locator("#opacity input[type=number]").press("Enter")
    expect(overlay).not_to_have_attribute("src", before)
    assert page.locator("#answer-sentence").inner_text() == sentence


def test_a_click_looks_closer_at_one_place_until_the_next_picture(visit, tmp_path):
    colours = Image.new("RGB", (400, 200), "red")
    colours.paste("blue", (200, 0, 400, 200))
    colours.save(tmp_path / "colours.png")
    page = visit()
    show(page, tmp_path / "colours.png")
    overlay, seen = page.locator("#overlay img"), page.locator("#seen img")
    overlay.wait_for()
    shown = page.locator("#picture img")
    box = shown.bounding_box()
    before = seen.get_attribute("src")
    shown.click(position={"x": box["width"] * 0.75, "y": box["height"] * 0.5})
    expect(page.locator("#share input[type=number]")).to_have_value("0.5")
    expect(seen).not_to_have_attribute("src", before)
    assert colour_at(seen, 0.1) == colour_at(seen, 0.9) == [0, 0, 255]
    show(page, EXAMPLE)
    expect(page.locator("#share input[type=number]")).to_have_value("1")


@pytest.mark.parametrize(("width", "height"), [(32, 32), (100, 400)])
def test_a_click_finds_its_pixel_in_small_and_in_tall_pictures(visit, tmp_path, width, height):
    corners = {(0, 0): [255, 0, 0], (1, 0): [0, 255, 0], (0, 1): [0, 0, 255], (1, 1): [255] * 3}
    picture = Image.new("RGB", (2, 2))
    for place, colour in corners.items():
        picture.putpixel(place, tuple(colour))
    picture.resize((width, height), Image.Resampling.NEAREST).save(tmp_path / "corners.png")
    page = visit()
    show(page, tmp_path / "corners.png")
    seen, image = page.locator("#seen img"), page.locator("#picture img")
    page.locator("#overlay img").wait_for()
    box = image.bounding_box()
    scale = min((box["width"] - 8) / width, (box["height"] - 34) / height)  # style.css: padding
    left = (box["width"] - width * scale) / 2
    top = 30 + (box["height"] - 34 - height * scale) / 2
    for (across, down), colour in corners.items():
        before = seen.get_attribute("src")
        x, y = (0.05 + 0.9 * across) * width * scale, (0.05 + 0.9 * down) * height * scale
        image.click(position={"x": left + x, "y": top + y})
        expect(seen).not_to_have_attribute("src", before)
        assert colour_at(seen, 0.25 + 0.5 * across) == colour


def colour_at(image, across):
    """[red, green, blue] of an image on the page, half way down."""
    return image.evaluate(
        """(image, across) => {
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0);
            const [x, y] = [canvas.width * across, canvas.height / 2].map(Math.floor);
            return [...context.getImageData(x, y, 1, 1).data].slice(0, 3);
        }""",
        across,
    )


def test_another_network_and_another_class_give_another_answer(visit):
    page = visit()
    show(page, EXAMPLE)
    page.locator("#overlay img").wait_for()
    page.get_by_label("Network", exact=True).first.click()
    page.get_by_role("option", name="small-underfit").click()
    page.get_by_text("More ways to look").click()
    page.get_by_label("Show what speaks for").click()
    page.get_by_role("option", name="ship", exact=True).click()
    expect(page.locator("#answer-sentence")).to_contain_text("The map shows what speaks for ship")
    expect(page.locator("#overlay img")).to_have_attribute("alt", re.compile("speaks for ship"))


def test_a_file_that_is_no_picture_is_refused_in_the_page(visit, tmp_path):
    page = visit()
    broken = tmp_path / "broken.png"
    broken.write_bytes(EXAMPLE.read_bytes()[:200])
    show(page, broken)
    expect(page.locator("#answer-sentence")).to_contain_text(
        "'broken.png' is damaged or cut short."
    )
    assert page.get_by_text("Error").count() == 0
    page.get_by_role("button", name="cat", exact=True).first.click()
    page.locator("#overlay img").wait_for()


def test_every_network_answers_in_the_compare_tab(visit):
    page = visit()
    page.get_by_role("tab", name="Compare").click()
    show(page, EXAMPLE, "#compare-picture")
    expect(page.locator("#compare-answers img")).to_have_count(3)
    expect(page.locator("#compare-summary")).to_contain_text("of 3")


def test_the_experiments_tab_shows_our_numbers_beside_the_reports(visit):
    page = visit()
    page.get_by_role("tab", name="Experiments").click()
    row = page.locator("#overview tr", has_text="small-second")
    expect(row).to_contain_text("70.00 %")
    expect(row).to_contain_text("74.65 %")
    page.locator("#curves img").wait_for()
    page.get_by_text("Its model card").click()
    expect(page.locator("#card")).to_contain_text("The card")


def test_a_picture_of_the_test_set_is_filtered_and_explained(visit):
    page = visit()
    page.get_by_role("tab", name="Explore").click()
    page.get_by_label("Pictures of").click()
    page.get_by_role("option", name="cat", exact=True).click()
    page.locator("#outcome").get_by_text("all", exact=True).click()
    expect(page.locator("#found")).to_contain_text("30 of 300 pictures")
    expect(page.locator("#pictures img")).to_have_count(30)
    page.locator("#pictures").get_by_role("button", name="cat").first.click()
    expect(page.locator("#explored-sentence")).to_contain_text("shows: cat")
    page.locator("#explored-overlay img").wait_for()
    page.get_by_label("Network", exact=True).last.click()
    page.get_by_role("option", name="small-underfit").last.click()
    expect(page.locator("#explored-sentence")).to_have_text("Choose a picture.")
    assert page.locator("#pictures .selected").count() == 0
