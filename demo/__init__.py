"""Build the demo, a page where visitors try networks, compare them and see activation maps."""

import os

# Disable telemetry, and limit gradio's monitoring data, which the demo does not use.
# HF_HUB_DISABLE_TELEMETRY must be set before huggingface_hub is imported.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000")
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# Torch reads the next two variables when it is imported. With more threads than free cores, the
# threads would wait for each other, and a prediction could take ten times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from demo.page import build_demo
from demo.serving.server import launch_options

__all__ = ["build_demo", "launch_options"]
