"""How the demo is served: what `launch` is given, and what is refused before gradio sees it.

The page faces strangers. Gradio guards the paths of files; what it leaves open is closed here:
bodies without end, requests that make the server fetch an address, and routes without a use.
"""

import asyncio
import json
import time
from collections import deque
from typing import Any

from gradio.themes import Default
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.sample import ASSETS

MAX_UPLOAD_BYTES = 10_000_000
MAX_BODY_BYTES = 200_000  # of any other request
DELETE_FILES = (60, 1800)  # seconds: how often to look, and how old a visitor's file may get
BODY_SECONDS = 60  # for a body to arrive
MAX_THREADS = 8  # each keeps working memory of its own once it has run a network
MAX_KEPT_BYTES = 1_000_000_000  # of all visitors' uploads, before the oldest are deleted
UPLOAD_ROUTE = "/gradio_api/upload"
FILE_ROUTE = "/gradio_api/file="
UNUSED_ROUTES = (
    "/dev",
    "/gradio_api/component_server",
    "/gradio_api/deep_link",
    "/gradio_api/process_recording",
    "/gradio_api/proxy",
    "/gradio_api/run-history",
    "/gradio_api/stream",
    "/gradio_api/vibe",
    "/monitoring",
)


def launch_options() -> dict[str, Any]:
    """The keyword arguments of `Blocks.launch`.

    Where it listens is for GRADIO_SERVER_NAME and GRADIO_SERVER_PORT to say: 127.0.0.1 and 7860
    unless they are set.
    """
    return {
        "share": False,
        "show_error": False,
        "max_file_size": MAX_UPLOAD_BYTES,
        "max_threads": MAX_THREADS,
        "state_session_capacity": 64,  # visitors whose last map is kept, at most 7 MB each
        "enable_monitoring": False,
        "mcp_server": False,
        "run_history": False,
        "ssr_mode": False,
        "pwa": False,
        "footer_links": [],  # its API page offers examples that this server refuses
        # A font from elsewhere would be a request to elsewhere: the visitor's own serve.
        "theme": Default(
            primary_hue="teal",
            neutral_hue="slate",
            font=["system-ui", "sans-serif"],
            font_mono=["ui-monospace", "monospace"],
        ),
        "css_paths": ASSETS / "style.css",
        "js": (ASSETS / "page.js").read_text(encoding="utf-8"),
        "app_kwargs": {"middleware": [Middleware(Limits)], "docs_url": None, "redoc_url": None},
    }


class Limits:
    """Refuses what is too long, too slow, of no use here, or would make the server fetch."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.kept: deque[tuple[float, int]] = deque()  # when each upload came, and its bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if refusal := refuse_route(scope["path"]):
            await refusal(scope, receive, send)
            return
        if scope["method"] not in ("POST", "PUT", "PATCH"):
            await self.app(scope, receive, send)
            return
        uploads = scope["path"].startswith(UPLOAD_ROUTE)
        # Whole before it is passed on: gradio leaves half an upload on the disk for ever.
        body = await read_body(receive, MAX_UPLOAD_BYTES * 11 // 10 if uploads else MAX_BODY_BYTES)
        if isinstance(body, bytes):
            body = (self.refuse_upload if uploads else refuse_addresses)(body) or body
        if isinstance(body, PlainTextResponse):
            await body(scope, receive, send)
            return
        await self.app(scope, replay(body, receive), send)

    def refuse_upload(self, body: bytes) -> PlainTextResponse | None:
        if not body.rstrip().endswith(b"--"):  # gradio would leave half a file on the disk
            return PlainTextResponse("The upload is cut short.", 400)
        now = time.monotonic()
        while self.kept and self.kept[0][0] < now - DELETE_FILES[1]:
            self.kept.popleft()
        if sum(size for _, size in self.kept) + len(body) > MAX_KEPT_BYTES:
            return PlainTextResponse("Too many pictures have come: try again in a while.", 503)
        self.kept.append((now, len(body)))
        return None


def refuse_addresses(body: bytes) -> PlainTextResponse | None:
    if names_address(body):
        return PlainTextResponse("Addresses are not fetched: send the file itself.", 403)
    return None


def refuse_route(path: str) -> PlainTextResponse | None:
    if path.startswith(UNUSED_ROUTES):
        return PlainTextResponse("Not found.", 404)
    if path.startswith(FILE_ROUTE) and is_address(path.removeprefix(FILE_ROUTE)):
        return PlainTextResponse("Addresses are not fetched.", 403)
    return None


async def read_body(receive: Receive, most: int) -> bytes | PlainTextResponse:
    """The whole body, or why it is refused."""
    body = bytearray()
    more = True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more and len(body) <= most:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
    except TimeoutError:
        return PlainTextResponse("That took too long.", 408)
    if len(body) > most:
        return PlainTextResponse(f"At most {most / 1_000_000:g} MB are taken.", 413)
    return bytes(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body again, then whatever comes after it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again


def names_address(body: bytes) -> bool:
    """Whether a file in this JSON lies at an address: gradio would go and fetch it."""
    try:
        rest = [json.loads(body)]
    except (ValueError, RecursionError):
        return False  # gradio refuses what is not JSON
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            if is_address(value.get("path")):
                return True
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)
    return False


def is_address(path: object) -> bool:
    return isinstance(path, str) and path.strip().lower().startswith(("http:", "https:"))
