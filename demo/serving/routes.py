"""The routes that the page and the API use. Every other path is answered with 404."""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["plain", "file", "stream", "upload", "json"]

API = "/gradio_api"
FILE_PREFIX = f"{API}/file="
WORD = r"[A-Za-z0-9_-]{1,64}"  # a session, an event or the name of a function
FILES = r"[\w.@-]+(?:/[\w.@-]+)*"  # below /static and /assets
UNSAFE = re.compile(r"[\x00-\x1f\x7f\\%]|//|/\.{1,2}(?:/|$)")


@dataclass(frozen=True)
class Route:
    """A family of paths. The pattern may name the parts `name`, `session` and `event`."""

    method: Literal["GET", "POST"]
    pattern: str
    kind: Kind = "plain"


ROUTES = (
    Route("GET", r"/|/config/?|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json"),
    Route("GET", rf"/(?:static|assets|svelte)/{FILES}"),
    Route("GET", rf"{API}/(?:info/?|app_id|theme\.css|startup-events|queue/status)"),
    Route("GET", rf"{API}/upload_progress", "stream"),
    Route("GET", rf"{API}/heartbeat/(?P<session>{WORD})", "stream"),
    Route("GET", rf"{API}/queue/data", "stream"),
    Route("GET", rf"{API}/call/(?:v2/)?(?P<name>{WORD})/(?P<event>{WORD})", "stream"),
    Route("GET", rf"{re.escape(FILE_PREFIX)}.+", "file"),
    Route("POST", rf"{API}/upload", "upload"),
    Route("POST", rf"{API}/queue/join", "json"),
    Route("POST", rf"{API}/run/predict", "json"),  # functions that take no turn in the queue
    Route("POST", rf"{API}/call/(?:v2/)?(?P<name>{WORD})/?", "json"),
    Route("POST", rf"{API}/(?:cancel|reset)", "json"),
)


def find_route(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a decoded path with the named parts of its pattern, or None."""
    method = "GET" if method == "HEAD" else method
    if UNSAFE.search(path) and not path.startswith(FILE_PREFIX):  # those are checked as files
        return None
    for route in ROUTES:
        if route.method == method and (match := re.fullmatch(route.pattern, path)):
            return route, {name: part for name, part in match.groupdict().items() if part}
    return None
