"""Check requests against allowed routes and limits per visitor, before gradio sees them."""

import asyncio
import os
import re
from contextlib import ExitStack
from urllib.parse import parse_qs, urlsplit

import gradio as gr
from starlette.datastructures import Headers, MutableHeaders, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.serving import budgets
from demo.serving.budgets import address_of, one_more
from demo.serving.decoder import Decoder
from demo.serving.folder import MASK, NAMES, find_file
from demo.serving.queue import WORD, FairQueue

MAX_UPLOAD_BYTES = 10_000_000
MAX_JSON_BYTES = 200_000
BODY_SECONDS = 60  # time limit for a request's whole body to arrive
RESPONSE_SECONDS = 300  # time limit for a client to read a response that is not a stream
API = "/gradio_api"

# (method, path pattern, kind) of each route that the page or the API uses. Other routes return 404.
ROUTES = (
    ("GET", r"/|/config/?|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json", "plain"),
    ("GET", rf"/(?:static|assets|svelte)/{NAMES}", "plain"),
    ("GET", rf"{API}/(?:info/?|app_id|theme\.css|startup-events|queue/status)", "plain"),
    ("GET", rf"{API}/upload_progress", "progress"),
    ("GET", rf"{API}/heartbeat/{WORD}", "heartbeat"),
    ("GET", rf"{API}/queue/data", "answers"),
    ("GET", rf"{API}/call/(?P<name>{WORD})/(?P<event>{WORD})", "answers"),
    ("GET", rf"{API}/file=(?P<file>.+)", "file"),
    ("POST", rf"{API}/upload", "upload"),
    ("POST", rf"{API}/(?:queue/join|cancel|reset)", "json"),
    ("POST", rf"{API}/call/(?P<name>{WORD})/?", "json"),
)

# The Hub shows a Space in a frame. No other site has a reason to embed the page.
FRAMES = "'self' https://huggingface.co" if os.environ.get("SPACE_ID") else "'self'"
# The policy allows inline scripts and `eval`, since gradio's page needs both.
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
        "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
        f"frame-ancestors {FRAMES}"
    ),
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
NOT_ONE_FILE = "The upload is incomplete, or does not consist of exactly one file."
LOST = '{"msg":"unexpected_error","message":"","success":false,"session_not_found":true}'


class Guard:
    """An ASGI app that passes requests on to the app `inner`.

    It refuses requests that match no route or exceed a limit, and POSTs from another site's page.
    """

    def __init__(self, inner: ASGIApp, page: gr.Blocks) -> None:
        assert isinstance(page._queue, FairQueue)
        self.inner = inner
        self.queue = page._queue
        functions = page.fns.values()
        self.public = {each.api_name for each in functions if each.api_visibility == "public"}
        self.decoder = Decoder()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            await self.answer(scope, receive, send_with_headers)
        except HTTPException as error:
            response = JSONResponse({"detail": error.detail}, error.status_code)
            await response(scope, receive, send_with_headers)
        except TimeoutError:
            pass  # the client did not read the response in time, so the connection is closed

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind, parts = find_route(scope["method"], scope["path"])
        headers = MutableHeaders(scope=scope)
        if scope["method"] == "POST" and is_cross_site(headers):
            raise HTTPException(403, "Other sites may not use this page.")
        del headers["origin"]  # otherwise gradio's CORS headers would allow this origin
        if "name" in parts and parts["name"] not in self.public:
            raise HTTPException(404, "Unknown function.")
        response: ASGIApp = self.inner
        with ExitStack() as stack:
            stack.enter_context(one_more("connections", address_of(scope)))
            if kind == "answers":
                query = parse_qs(scope["query_string"].decode("latin-1"))
                session = parts.get("event") or query.get("session_hash", [""])[0]
                stack.enter_context(one_more("streams", session))
                if session not in self.queue.pending_messages_per_session:
                    response = Response(f"data: {LOST}\n\n", media_type="text/event-stream")
            elif kind == "progress":
                response = Response('data: {"msg":"done"}\n\n', media_type="text/event-stream")
            elif kind == "file":
                response = file_response(parts["file"])
            elif kind == "upload":
                response = JSONResponse([await self.upload(scope, receive)])
            elif kind == "json":
                receive = limited(receive, MAX_JSON_BYTES)
            is_stream = kind in ("answers", "heartbeat")
            async with asyncio.timeout(None if is_stream else RESPONSE_SECONDS):
                await response(scope, receive, send)

    async def upload(self, scope: Scope, receive: Receive) -> str:
        """Store the uploaded image or, if the decoder refuses it, a blank image.

        Return the public path of the stored image.
        """
        address = address_of(scope)
        budgets.check(address)
        with one_more("uploads", address):
            request = Request(scope, limited(receive, MAX_UPLOAD_BYTES * 11 // 10))
            try:
                await request.form(max_files=1, max_fields=0)
            except ValueError as error:  # the request states an unknown charset
                raise HTTPException(400, NOT_ONE_FILE) from error
            async with request.form() as form:
                file = form.get("files")
                if not isinstance(file, UploadFile):
                    raise HTTPException(400, NOT_ONE_FILE)
                size = file.size or 0
                budgets.used["bytes", address] += size
                if size > MAX_UPLOAD_BYTES:
                    raise too_long(MAX_UPLOAD_BYTES)
                budgets.check(address)  # meanwhile, the address may have sent other uploads
                kept = await self.decoder.keep(file.file, file.filename or "", address)
        on_disk = sum(512 * file.stat().st_blocks for file in kept.parent.iterdir())
        budgets.used["bytes", address] += on_disk - size
        return f"{MASK}/sent/{kept.parent.name}/{kept.name}"


def find_route(method: str, path: str) -> tuple[str, dict[str, str]]:
    """Return the kind of the matching route in ROUTES, and the named parts of `path`."""
    method = "GET" if method == "HEAD" else method
    for allowed, pattern, kind in ROUTES:
        if allowed == method and (match := re.fullmatch(pattern, path)):
            return kind, match.groupdict()
    raise HTTPException(404, "Not found.")


def is_cross_site(headers: Headers) -> bool:
    """Return whether another site's page made a visitor's browser send the request."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    hosts = (headers.get("host"), headers.get("x-forwarded-host"))
    return origin is not None and urlsplit(origin).netloc not in hosts


def limited(receive: Receive, most: int) -> Receive:
    """Wrap `receive` to refuse a body that exceeds `most` bytes, takes too long or is cut short."""
    size, done = 0, False
    deadline = asyncio.get_running_loop().time() + BODY_SECONDS

    async def receive_part() -> Message:
        nonlocal size, done
        if done:  # the body is complete, so only a disconnect can follow
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "The request took too long.") from None
        if message["type"] == "http.disconnect":
            raise HTTPException(400, "The request was cut short.")
        size += len(message.get("body", b""))
        done = not message.get("more_body", False)
        if size > most:
            raise too_long(most)
        return message

    return receive_part


def too_long(most: int) -> HTTPException:
    return HTTPException(413, f"At most {most / 1_000_000:g} MB are accepted.")


def file_response(path: str) -> FileResponse:
    """Return a response with the image at the masked path `path`, or raise an HTTPException."""
    if (file := find_file(path)) is None:
        raise HTTPException(403, "Image not found.")
    kind = file.suffix[1:].replace("jpg", "jpeg")
    return FileResponse(file, media_type=f"image/{kind}", headers={"cache-control": "private"})
