"""Take the screenshot of the demo for the README in a headless Chromium.

python -m demo_tools.screenshot docs/demo.png
"""

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from demo import build_demo, launch_options
from demo.sample import ASSETS

EXAMPLE = ASSETS / "dog.png"
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]


def screenshot(url: str, chromium: str) -> bytes:
    """The first tab with an example classified, as PNG."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1240, "height": 860})
        page.goto(url)
        classify_example(page)
        image = page.screenshot()
        browser.close()
    return image


def classify_example(page: Page) -> None:
    page.locator("#image input[type=file]").set_input_files(EXAMPLE)
    page.locator("#one .heat").wait_for()
    page.wait_for_timeout(1000)  # the bars of the answer grow for a moment


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demo_tools.screenshot")
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    chromium = shutil.which("chromium")
    if chromium is None:
        parser.error("chromium is not on the PATH")
    demo = build_demo()
    _, url, _ = demo.launch(**launch_options(), prevent_thread_lock=True, quiet=True)
    image = Image.open(io.BytesIO(screenshot(url, chromium)))
    demo.close(verbose=False)
    output.parent.mkdir(parents=True, exist_ok=True)
    image.convert("RGB").save(output, optimize=True)


if __name__ == "__main__":
    main()
