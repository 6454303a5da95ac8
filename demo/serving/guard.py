"""What every request passes before gradio sees it: an allow-list, and a share for each visitor.

Gradio's own middleware would reflect any origin; this stands outside of it.
"""

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.serving import budgets
from demo.serving.bodies import read_json, read_upload, replay, write_upload
from demo.serving.budgets import Concurrent, Uploads, address_of
from demo.serving.cleanup import MAX_AGE
from demo.serving.folder import find_file
from demo.serving.headers import add_headers, is_cross_site
from demo.serving.routes import FILE_PREFIX, find_route

if TYPE_CHECKING:
    from demo.serving.app import GuardedApp

RESPONSE_SECONDS = 300  # for an answer to be read; streams may last
MAGIC = {  # the first bytes of what is served as an image
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
}
LOST = '{"msg":"unexpected_error","message":"","success":false,"session_not_found":true}'

logger = logging.getLogger(__name__)


class Guard:
    """Refuses what is of no use to the page, too much, or from another site."""

    def __init__(self, inner: ASGIApp, app: "GuardedApp") -> None:
        self.inner = inner
        self.app = app
        self.uploads = Uploads(MAX_AGE)
        self.bodies = Concurrent(budgets.MAX_BODIES, "uploads")
        self.direct = Concurrent(budgets.MAX_DIRECT, "requests")
        self.streams = Concurrent(budgets.MAX_STREAMS, "connections")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.inner(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        started = False

        async def send_safely(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                add_headers(MutableHeaders(scope=message))
            await send(message)

        try:
            await self.answer(scope, receive, send_safely)
        except HTTPException as error:
            response = JSONResponse({"detail": error.detail}, error.status_code)
            await response(scope, receive, send_safely)
        except TimeoutError:
            logger.warning("An answer was not read in time")
        except Exception:
            logger.exception("A request failed")
            if not started:
                response = JSONResponse({"detail": "The server failed."}, 500)
                await response(scope, receive, send_safely)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = find_route(scope["method"], scope["path"])
        if found is None:
            raise HTTPException(404, "Not found.")
        route, parts = found
        headers = MutableHeaders(scope=scope)
        if route.method == "POST" and is_cross_site(headers):
            raise HTTPException(403, "Other sites may not use this page.")
        del headers["origin"]
        if route.kind == "stream":
            await self.stream(scope, receive, send, parts)
            return
        async with asyncio.timeout(RESPONSE_SECONDS):
            if route.kind == "file":
                await file_response(scope["path"])(scope, receive, send)
            elif route.kind == "upload":
                await self.upload(scope, receive, send, headers)
            elif route.kind == "json":
                await self.post(scope, receive, send, parts)
            else:
                await self.inner(scope, receive, send)

    async def upload(
        self, scope: Scope, receive: Receive, send: Send, headers: MutableHeaders
    ) -> None:
        """Pass an upload on, written anew; note whose it is."""
        address = address_of(scope)
        self.uploads.check(address)

        async def note(message: Message) -> None:
            if message["type"] == "http.response.body" and (body := message.get("body")):
                for path in as_paths(body):
                    self.uploads.add(path, address, file.size or 0)
            await send(message)

        with self.bodies.one_more(address):
            file = await read_upload(receive, headers)
            try:
                kind, chunks = write_upload(file)
                headers["content-type"] = kind.decode()
                del headers["content-length"]
                del headers["accept-encoding"]  # `note` reads the answer
                await self.inner(scope, replay(chunks, receive), note)
            finally:
                await file.close()

    async def post(self, scope: Scope, receive: Receive, send: Send, parts: dict[str, str]) -> None:
        """Pass a call on, once its values have been checked."""
        address = address_of(scope)
        if "name" in parts and parts["name"] not in self.app.public_names():
            raise HTTPException(404, "There is no such function.")
        with self.bodies.one_more(address):
            value = await read_json(receive)
        direct = scope["path"].endswith("/run/predict")
        if direct or scope["path"].endswith("/queue/join"):
            self.app.check_function(value.get("fn_index"), queued=not direct)
            if session := value.get("session_hash"):
                self.app.states.addresses.setdefault(session, address)
        if "/call/v2/" in scope["path"]:
            self.app.check_arguments(parts["name"], value)
        body = json.dumps(value).encode()
        MutableHeaders(scope=scope)["content-length"] = str(len(body))
        with self.direct.one_more(address) if direct else nullcontext():
            await self.inner(scope, replay(iter([body]), receive), send)

    async def stream(
        self, scope: Scope, receive: Receive, send: Send, parts: dict[str, str]
    ) -> None:
        """Pass a stream on, if it is one of few and there is something to come."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        session = parts.get("event") or parts.get("session") or query.get("session_hash", [""])[0]
        queue = self.app.fair_queue()
        if "/queue/data" in scope["path"] and session not in queue.pending_messages_per_session:
            response = Response(f"data: {LOST}\n\n", media_type="text/event-stream")
            await response(scope, receive, send)
            return
        if "event" in parts and session not in queue.pending_event_ids_session:
            raise HTTPException(404, "There is no such event, or its answer has been read.")
        with ExitStack() as stack:
            stack.enter_context(self.streams.one_more(address_of(scope)))
            if "/heartbeat/" not in scope["path"] and session:
                if queue.listeners[session] >= budgets.MAX_SESSION_STREAMS:
                    raise HTTPException(503, "Too many connections of one session.")
                queue.listeners[session] += 1
                stack.callback(queue.stop_listening, session)
            await self.inner(scope, receive, send)


def file_response(path: str) -> FileResponse:
    """An image of this process, and nothing else.

    Raises:
        HTTPException: the path does not mean one.
    """
    file = find_file(path.removeprefix(FILE_PREFIX))
    kind = image_type(file) if file else None
    if file is None or kind is None:
        raise HTTPException(403, "There is no such image.")
    return FileResponse(file, media_type=kind, headers={"cache-control": "private"})


def image_type(file: Path) -> str | None:
    with file.open("rb") as opened:
        start = opened.read(16)
    for magic, kind in MAGIC.items():
        if start.startswith(magic):
            return kind
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "image/webp"
    if start[4:12] in (b"ftypavif", b"ftypavis"):
        return "image/avif"
    return "image/tiff" if start[:4] in (b"II*\0", b"MM\0*") else None


def as_paths(body: bytes) -> Iterator[Path]:
    """The paths in the answer to an upload."""
    try:
        paths: Any = json.loads(body)
    except ValueError:
        return
    if isinstance(paths, list):
        for path in paths:
            if file := find_file(str(path)):
                yield file
