"""Launch the demo's server, clean up periodically, and shut the server down."""

import asyncio
import ctypes
import itertools
import logging
import os
import resource
import shutil
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import gradio as gr
import uvicorn.config
from fastapi.exceptions import RequestValidationError
from gradio.routes import App
from gradio.themes import Default
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from demo.sample import ASSETS
from demo.serving import budgets, log
from demo.serving.blocks import NoStates
from demo.serving.connection import Connection
from demo.serving.folder import delete_old, own_folder
from demo.serving.guard import MAX_UPLOAD_BYTES, Guard
from demo.serving.queue import FairQueue

MAX_THREADS = 8  # few, because each thread keeps the memory that it used to run a network
CLEANUP_SECONDS = 10  # from one cleanup to the next; a cleanup takes milliseconds
DESCRIPTORS = 8192  # limit for open files and sockets; MAX_CONNECTIONS can be exceeded for a moment
PRIVATE = "127.0.0.1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16"
logger = logging.getLogger(__name__)


class GuardedApp(App):
    """Gradio's app behind a `Guard`, which checks all requests before they reach gradio."""

    def __init__(self) -> None:
        super().__init__(openapi_url=None)
        self.state_holder = NoStates()
        # FastAPI's own response would quote the body, which fails if the body is not UTF-8.
        refusal = {"detail": "A field of the body is missing or invalid."}
        self.add_exception_handler(RequestValidationError, lambda *_: JSONResponse(refusal, 422))

    def build_middleware_stack(self) -> ASGIApp:
        self.guard = Guard(super().build_middleware_stack(), self.get_blocks())
        return self.guard


async def clean_up(queue: FairQueue) -> None:
    """Until cancelled, periodically reset limits and delete old files and unfetched answers."""
    for turn in itertools.count():
        await asyncio.to_thread(run_job, delete_old)
        run_job(queue.forget_unheard)
        if turn % (budgets.PERIOD // CLEANUP_SECONDS) == 0:
            budgets.used.clear()
            log.seen.clear()
        with suppress(AttributeError):  # C libraries other than glibc have no malloc_trim
            ctypes.CDLL(None).malloc_trim(0)  # otherwise, glibc keeps 100 MB of freed memory
        await asyncio.sleep(CLEANUP_SECONDS)


def run_job(job: Callable[[], None]) -> None:
    """Run the cleanup `job`. If it fails, log the error, so that other cleanups still run."""
    try:
        job()
    except Exception:
        logger.exception("A cleanup failed")


@asynccontextmanager
async def lifespan(app: GuardedApp) -> AsyncIterator[None]:
    await app.guard.decoder.start()
    task = asyncio.create_task(clean_up(app.guard.queue))
    yield
    task.cancel()
    await app.guard.decoder.stop()


def launch_options() -> dict[str, Any]:
    """Prepare this process to serve, and return the keyword arguments for `Blocks.launch`.

    By default, the server listens on 127.0.0.1:7860. Gradio's environment variables
    GRADIO_SERVER_NAME and GRADIO_SERVER_PORT change this address.
    """
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{Connection.__module__}:{Connection.__name__}"
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    log.limit()
    if "SPACE_ID" in os.environ:  # on a Space, only the proxy's headers give a visitor's address
        os.environ.setdefault("FORWARDED_ALLOW_IPS", PRIVATE)
    return {
        "ssr_mode": False,
        "run_history": False,
        "footer_links": [],  # no link to gradio's API page: the guard refuses that page's requests
        # This limits the size of the file that a visitor chooses. The page then shrinks the image,
        # and `Guard` limits the upload to MAX_UPLOAD_BYTES.
        "max_file_size": 10 * MAX_UPLOAD_BYTES,
        "max_threads": MAX_THREADS,
        "head": (ASSETS / "head.html").read_text(encoding="utf-8"),
        # Use system fonts, since browsers would request a web font from another server.
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


def run(page: gr.Blocks) -> None:
    """Serve `page` until SIGTERM, SIGHUP or Ctrl-C. Then delete visitors' files and exit with 0."""
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, lambda *_: stop.set())
    page.launch(prevent_thread_lock=True, **launch_options())
    stop.wait()
    shutil.rmtree(own_folder(), ignore_errors=True)
    with suppress(OSError, ValueError):  # the terminal may be closed
        sys.stdout.flush()
    # sys.exit would make the interpreter abort if a thread were still running a network.
    os._exit(0)
