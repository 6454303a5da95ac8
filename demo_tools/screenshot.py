"""Take the screenshot of the demo for the README in a headless Chromium.

python -m demo_tools.screenshot docs/demo.png
"""

import argparse
import shutil

from playwright.sync_api import sync_playwright

from demo import build_demo, launch_options

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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demo_tools.screenshot")
    parser.add_argument("output")
    output = parser.parse_args().output
    chromium = shutil.which("chromium") or parser.error("chromium is not on the PATH")
    demo = build_demo()
    _, url, _ = demo.launch(**launch_options(), prevent_thread_lock=True, quiet=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1240, "height": 860})
        page.goto(f"{url}?image=dog")
        page.locator("#answer .heat").wait_for()
        page.wait_for_timeout(1000)  # the bars of the answer grow for a moment
        page.screenshot(path=output)
        browser.close()
    demo.close(verbose=False)


if __name__ == "__main__":
    main()
