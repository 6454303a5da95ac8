"""What `Blocks.launch` is given."""

import os
from typing import Any

from gradio.themes import Default

from demo.sample import ASSETS
from demo.serving.app import GuardedApp, lifespan
from demo.serving.bodies import MAX_UPLOAD_BYTES
from demo.serving.connections import limit_connections
from demo.serving.folder import own_folder
from demo.serving.logs import limit_logs

MAX_THREADS = 8  # each keeps working memory of its own once it has run a network
MAX_SESSIONS = 128  # whose state is kept
PRIVATE = "127.0.0.1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16"


def launch_options() -> dict[str, Any]:
    """The keyword arguments of `Blocks.launch`.

    Where it listens is for GRADIO_SERVER_NAME and GRADIO_SERVER_PORT to say: 127.0.0.1 and 7860
    unless they are set.
    """
    own_folder()
    limit_connections()
    limit_logs()
    if "SPACE_ID" in os.environ:  # the Hub's proxy says whose request it is; uvicorn reads this
        os.environ.setdefault("FORWARDED_ALLOW_IPS", PRIVATE)
    return {
        "share": False,
        "show_error": False,
        # Checked before the page shrinks an image; what arrives is limited by bodies.py.
        "max_file_size": 10 * MAX_UPLOAD_BYTES,
        "max_threads": MAX_THREADS,
        "state_session_capacity": MAX_SESSIONS,
        "enable_monitoring": False,
        "mcp_server": False,
        "run_history": False,
        "ssr_mode": False,
        "pwa": False,
        "footer_links": [],  # the examples of gradio's API page would be refused
        "head": (ASSETS / "head.html").read_text(encoding="utf-8"),
        # A font from elsewhere would be a request to elsewhere: the visitor's own serve.
        "theme": Default(
            primary_hue="teal",
            neutral_hue="slate",
            font=["system-ui", "sans-serif"],
            font_mono=["ui-monospace", "monospace"],
        ),
        "css_paths": ASSETS / "style.css",
        "js": (ASSETS / "page.js").read_text(encoding="utf-8"),
        "app_kwargs": {"lifespan": lifespan},
        "_app": GuardedApp(),
    }
