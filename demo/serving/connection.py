"""Limit the number of connections, and close those that are not in use.

Otherwise, uvicorn would wait forever for the first byte of a request or the end of its headers.
"""

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS = 15
MAX_CONNECTIONS = 3000


class Connection(H11Protocol):
    """A connection that is checked every REQUEST_SECONDS, and closed if it is not in use."""

    open_connections: ClassVar[dict["Connection", None]] = {}  # oldest first

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.open_connections[self] = None
        self.check_later()
        if len(self.open_connections) > MAX_CONNECTIONS:
            oldest = next(each for each in self.open_connections if each.is_silent())
            del self.open_connections[oldest]
            oldest.transport.abort()

    def is_silent(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def check_later(self) -> None:
        self.timer = self.loop.call_later(REQUEST_SECONDS, self.close_if_silent, self.cycle)

    def close_if_silent(self, newest: object) -> None:
        """Close the connection if no request is pending and none has arrived since the last check.

        `newest` is the newest request at the last check.
        """
        if self.cycle is newest and self.is_silent():
            self.transport.abort()
        else:
            self.check_later()

    def connection_lost(self, exc: Exception | None) -> None:
        self.timer.cancel()
        self.open_connections.pop(self, None)
        super().connection_lost(exc)
