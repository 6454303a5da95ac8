"""Open the demo in a browser, for tests of its pages."""

import pytest
from playwright.sync_api import expect

EXPECTED_CONSOLE = {"Method not implemented."}  # gradio logs this on every page
PERMISSIONS = ["camera", "clipboard-read", "clipboard-write"]
SLOW = 30_000  # timeout in milliseconds, long enough for a busy machine
expect.set_options(timeout=SLOW)


@pytest.fixture
def visit(browser, url):
    """Yield a function that opens the demo's page.

    At the end, fail if a page logged an unexpected message or sent a request to another origin.
    """
    requests, console, contexts = [], [], []

    def open_page(width=1280, scheme="light", address="", height=844):
        viewport = {"width": width, "height": height}
        context = browser.new_context(
            viewport=viewport, color_scheme=scheme, permissions=PERMISSIONS
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(SLOW)
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: console.append(message.text))
        page.on("pageerror", lambda error: console.append(str(error)))
        page.goto(f"{url}/{address}")
        page.locator("#image input[type=file]").wait_for(state="attached")
        page.wait_for_function("window.demo")  # page.js defines window.demo
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not [each for each in requests if not each.startswith((url, "data:", "blob:"))]
    assert set(console) <= EXPECTED_CONSOLE


def show(page, file):
    page.locator("#image input[type=file]").set_input_files(file)


def answered(page):
    page.locator("#answer .map").first.wait_for()
    return page.locator("#answer h2").inner_text()
