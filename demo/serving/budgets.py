"""What one visitor may use at a time, so that nobody can stop the others.

A visitor is an address, or a session of an address: a class behind one address is many sessions.
"""

import ipaddress
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.types import Scope

MAX_BODIES = (64, 32)  # that arrive at a time: of all visitors, of one address
MAX_DIRECT = (32, 16)  # functions that run at a time without a turn in the queue
MAX_STREAMS = (2000, 400)  # answers that are waited for at a time
MAX_SESSION_STREAMS = 6
MAX_UPLOADED = 200_000_000  # bytes of an address that are kept
BLOCK = 4096  # a smaller file takes as much of the disk


def address_of(scope: Scope) -> str:
    """The visitor's address; of IPv6 the network, all of whose addresses are one visitor's."""
    host = scope["client"][0] if scope.get("client") else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and not address.ipv4_mapped:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host


class Concurrent:
    """Counts what is under way, in all and of each key."""

    def __init__(self, most: tuple[int, int], what: str) -> None:
        self.most, self.most_of_one = most
        self.what = what
        self.counts: Counter[str] = Counter()

    @contextmanager
    def one_more(self, key: str) -> Iterator[None]:
        """Count one more of `key` for the length of a block.

        Raises:
            HTTPException: there are too many already.
        """
        if self.counts.total() >= self.most or self.counts[key] >= self.most_of_one:
            raise HTTPException(503, f"Too many {self.what} at a time: try again in a while.")
        self.counts[key] += 1
        try:
            yield
        finally:
            self.counts[key] -= 1
            if not self.counts[key]:
                del self.counts[key]


@dataclass(frozen=True)
class Upload:
    address: str
    size: int  # bytes
    time: float  # when it came


class Uploads:
    """The files that visitors sent and that are kept, with whose they are."""

    def __init__(self, max_age: float) -> None:
        self.max_age = max_age
        self.files: OrderedDict[Path, Upload] = OrderedDict()
        self.kept: Counter[str] = Counter()  # bytes of each address

    def __contains__(self, path: object) -> bool:
        return path in self.files

    def check(self, address: str) -> None:
        """Refuse an address that has sent as much as is kept of one.

        Raises:
            HTTPException: it has.
        """
        oldest = time.monotonic() - self.max_age
        while self.files and next(iter(self.files.values())).time < oldest:
            self.forget(next(iter(self.files)))
        if self.kept[address] > MAX_UPLOADED:
            raise HTTPException(503, "Too many images came from your address: try again later.")

    def add(self, path: Path, address: str, size: int) -> None:
        if path in self.files:
            self.forget(path)
        size = max(size, BLOCK) + BLOCK  # with its folder
        self.files[path] = Upload(address, size, time.monotonic())
        self.kept[address] += size

    def forget(self, path: Path) -> None:
        upload = self.files.pop(path)
        self.kept[upload.address] -= upload.size
        if not self.kept[upload.address]:
            del self.kept[upload.address]
