"""The demo: a page on which strangers try the networks, compare them and see where they look."""

import os

# Read by gradio and the Hub's client when they are imported: disable telemetry and the usage
# statistics that the page does not display.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000")
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from demo.serving.threads import use_one_thread

use_one_thread()

from demo.page import build_demo  # noqa: E402  (after the thread count is set)
from demo.serving.options import launch_options  # noqa: E402

__all__ = ["build_demo", "launch_options"]
