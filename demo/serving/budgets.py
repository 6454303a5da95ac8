"""What one visitor may use, so that nobody can stop the others. A visitor is an address."""

import ipaddress
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.types import Scope


class Share(NamedTuple):
    all: int
    one: int  # of `all`


class Rate(NamedTuple):
    burst: float
    per_second: float
    refusal: str


SHARES = {  # at a time; streams are counted for each session, the others for each address
    "connections": Share(all=2500, one=400),
    "uploads": Share(all=256, one=32),
    "streams": Share(all=2000, one=6),
}
RATES = {
    "seconds": Rate(30, 0.25, "Your images take too much time to open: try again in a minute."),
    "bytes": Rate(100e6, 50e3, "Too many images came from your address: try again later."),
}
under_way: dict[str, Counter[str]] = {kind: Counter() for kind in SHARES}
used: dict[tuple[str, str], tuple[float, float]] = {}  # an amount, and when it was so


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


@contextmanager
def one_more(kind: str, visitor: str) -> Iterator[None]:
    """Count one more of `kind` for the length of a block.

    Raises:
        HTTPException: there are too many already.
    """
    counts, share = under_way[kind], SHARES[kind]
    if counts.total() >= share.all or counts[visitor] >= share.one:
        raise HTTPException(503, f"Too many {kind} at a time: try again in a while.")
    counts[visitor] += 1
    try:
        yield
    finally:
        counts[visitor] -= 1
        if not counts[visitor]:
            del counts[visitor]


def spend(kind: str, address: str, amount: float) -> None:
    used[kind, address] = left(kind, address) + amount, time.monotonic()


def left(kind: str, address: str) -> float:
    """What an address has used and is not yet forgiven."""
    amount, when = used.get((kind, address), (0.0, 0.0))
    return max(0.0, amount - (time.monotonic() - when) * RATES[kind].per_second)


def check(address: str) -> None:
    """Refuse an address that has used its burst.

    Raises:
        HTTPException: it has.
    """
    for kind, rate in RATES.items():
        if left(kind, address) > rate.burst:
            raise HTTPException(503, rate.refusal)


def forget() -> None:
    for key in [key for key in used if not left(*key)]:
        del used[key]
