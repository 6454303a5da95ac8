"""Bodies of requests: read within limits of bytes and time, and checked before gradio sees them."""

import asyncio
import json
import re
import secrets
from collections.abc import AsyncGenerator, Iterator
from typing import Any, BinaryIO

from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Message, Receive

from demo.serving.folder import find_file
from demo.serving.routes import WORD

MAX_UPLOAD_BYTES = 10_000_000
MAX_JSON_BYTES = 200_000
BODY_SECONDS = 60  # for a whole body to arrive
CHUNK = 64_000
UNSAFE_IN_NAME = re.compile(r"[^\w.-]+")


async def read_chunks(receive: Receive, most: int) -> AsyncGenerator[bytes, None]:
    """The parts of a body as they arrive.

    Raises:
        HTTPException: it is too long, or the visitor has gone.
    """
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(400, "The request is cut short.")
        chunk = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(chunk)
        if size > most:
            raise HTTPException(413, f"At most {most / 1_000_000:g} MB are accepted.")
        yield chunk


def replay(chunks: Iterator[bytes], receive: Receive) -> Receive:
    """A `receive` that gives these parts as the body, then whatever comes after it."""
    done = False

    async def again() -> Message:
        nonlocal done
        if done:
            return await receive()
        chunk = next(chunks, b"")
        done = not chunk
        return {"type": "http.request", "body": chunk, "more_body": not done}

    return again


async def read_json(receive: Receive) -> dict[str, Any]:
    """The object in a JSON body, with each path in it replaced by that of a file of this process.

    Raises:
        HTTPException: the body is too long, too slow or not an object; or it names an address, a
            file that visitors may not use, or a session that no client of ours would choose.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = b"".join([chunk async for chunk in read_chunks(receive, MAX_JSON_BYTES)])
    except TimeoutError:
        raise HTTPException(408, "The request took too long.") from None
    try:
        value = json.loads(body)
        json.dumps(value, ensure_ascii=False).encode()  # lone surrogates cannot be sent back
    except (ValueError, RecursionError):
        raise HTTPException(400, "The body is not valid JSON.") from None
    if not isinstance(value, dict):
        raise HTTPException(400, "The body must be a JSON object.")
    replace_paths(value)
    session = value.get("session_hash")
    if session is not None and not (isinstance(session, str) and re.fullmatch(WORD, session)):
        raise HTTPException(400, "The session hash must be at most 64 letters and digits.")
    return value


def replace_paths(body: dict[str, Any]) -> None:
    """Replace the paths of files; gradio would fetch addresses, and read files beside ours."""
    rest: list[Any] = [body]
    while rest:
        value = rest.pop()
        if isinstance(value, list):
            rest.extend(value)
        elif isinstance(value, dict):
            if isinstance(path := value.get("path"), str):
                value["path"] = allowed_path(path)
                value.pop("url", None)
            rest.extend(value.values())


def allowed_path(path: str) -> str:
    if path.strip().lower().startswith(("http:", "https:")):
        raise HTTPException(403, "Addresses are not fetched: send the file itself.")
    file = find_file(path)
    if file is None:
        raise HTTPException(403, "The image is not there, or was deleted after half an hour.")
    return str(file)


class OneFileParser(MultiPartParser):
    """Reads a multipart body that holds one file and nothing else."""

    spool_max_size = 200_000  # bytes in memory; the rest waits on the disk, without a name
    complete = False

    def on_end(self) -> None:
        self.complete = True


async def read_upload(receive: Receive, headers: Headers) -> UploadFile:
    """The one file of an upload.

    Raises:
        HTTPException: the body is too long, too slow, cut short or not one file.
    """
    if not headers.get("content-type", "").startswith("multipart/form-data"):
        raise HTTPException(400, "An upload must be multipart/form-data.")
    chunks = read_chunks(receive, MAX_UPLOAD_BYTES * 11 // 10)
    parser = OneFileParser(headers, chunks, max_files=1, max_fields=0)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            form = await parser.parse()
    except TimeoutError:
        raise HTTPException(408, "The request took too long.") from None
    except MultiPartException as error:
        raise HTTPException(400, f"The upload is not one file: {error.message}") from None
    file = form.get("files")
    if not parser.complete or not isinstance(file, UploadFile):
        await form.close()
        raise HTTPException(400, "The upload is cut short.")
    if (file.size or 0) > MAX_UPLOAD_BYTES:
        await form.close()
        raise HTTPException(413, f"At most {MAX_UPLOAD_BYTES / 1_000_000:g} MB are accepted.")
    return file


def write_upload(file: UploadFile) -> tuple[bytes, Iterator[bytes]]:
    """The content type and the parts of a new multipart body that holds this file alone.

    Gradio leaves files behind for bodies that are cut or have other fields. It never gets those.
    """
    boundary = secrets.token_hex(16)
    return f"multipart/form-data; boundary={boundary}".encode(), parts(file, boundary)


def parts(file: UploadFile, boundary: str) -> Iterator[bytes]:
    last = (file.filename or "").replace("\\", "/").split("/")[-1]
    name = UNSAFE_IN_NAME.sub("_", last).lstrip(".")[-80:] or "file"
    disposition = f'form-data; name="files"; filename="{name}"'
    yield f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n".encode()
    content: BinaryIO = file.file
    while chunk := content.read(CHUNK):
        yield chunk
    yield f"\r\n--{boundary}--\r\n".encode()
