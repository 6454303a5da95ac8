"""Serves the demo until it is told to stop, then deletes what visitors sent and ends at once."""

import os
import signal
import sys
import threading

import gradio as gr

from demo.serving.folder import delete_own_folder
from demo.serving.options import launch_options

STOP_SECONDS = 5  # for answers that are under way


def run(page: gr.Blocks) -> None:
    """Serve the page until SIGTERM or Ctrl-C, and end the process with status 0."""
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    page.launch(prevent_thread_lock=True, **launch_options())
    stop.wait()
    closing = threading.Thread(target=page.close, kwargs={"verbose": False}, daemon=True)
    closing.start()
    closing.join(STOP_SECONDS)
    delete_own_folder()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: a network that is being run in a thread would abort the interpreter's end.
    os._exit(0)
