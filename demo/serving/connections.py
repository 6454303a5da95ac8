"""Connections: how long one may be silent, and how many may be open.

Uvicorn waits for ever for a request's first byte or the end of its headers, and takes as many
connections as there are file descriptors; then nobody gets an answer and the log fills the disk.
"""

import asyncio
import resource
from collections import Counter
from typing import Any

import uvicorn.config
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS = 15  # for the headers of a request to arrive, or for the next request to begin
MAX_CONNECTIONS = 3000
MAX_OF_PEER = 1000  # from one address; a proxy in front of the demo counts as one
DESCRIPTORS = 8192  # wanted: asyncio accepts up to 2,048 connections before it asks about any

waiting: dict["Connection", None] = {}  # connections without a request, the oldest first
peers: Counter[str] = Counter()


class Connection(H11Protocol):
    """A connection that is closed when it is silent, or when too many are open."""

    timer: asyncio.TimerHandle | None = None
    peer = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.peer = self.client[0] if self.client else ""
        peers[self.peer] += 1
        self.wait()
        if peers.total() > MAX_CONNECTIONS or peers[self.peer] > MAX_OF_PEER:
            next(iter(waiting)).abort()  # perhaps this one: those with a request stay

    def wait(self) -> None:
        waiting[self] = None
        self.timer = self.loop.call_later(REQUEST_SECONDS, self.abort)

    def stop_waiting(self) -> None:
        waiting.pop(self, None)
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:  # the headers of a request are complete
            self.stop_waiting()

    def on_response_complete(self) -> None:
        if self.timer is None and not self.transport.is_closing():
            self.wait()
        super().on_response_complete()

    def abort(self) -> None:
        self.stop_waiting()
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop_waiting()
        peers[self.peer] -= 1
        if not peers[self.peer]:
            del peers[self.peer]
        super().connection_lost(exc)


def limit_connections() -> None:
    """Make uvicorn use `Connection`, and raise the number of files that may be open."""
    protocols: dict[str, Any] = uvicorn.config.HTTP_PROTOCOLS
    protocols["auto"] = f"{__name__}:{Connection.__name__}"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
