"""What one visitor may use, so that nobody can stop the others. A visitor is an address."""

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.types import Scope


class Share(NamedTuple):
    all: int
    one: int  # of `all`


class Most(NamedTuple):
    amount: float
    refusal: str


PERIOD = 300  # seconds
SHARES = {  # at a time; streams are counted for each session, the others for each address
    "connections": Share(all=2500, one=400),
    "uploads": Share(all=256, one=32),
    "streams": Share(all=2000, one=6),
}
MOST = {  # of one address in PERIOD
    "seconds": Most(60, "Your images take too much time to open: try again in a few minutes."),
    "bytes": Most(60e6, "Too many images came from your address: try again in a few minutes."),
}
under_way: dict[str, Counter[str]] = {kind: Counter() for kind in SHARES}
used: dict[tuple[str, str], float] = defaultdict(float)  # kind and address, in this period


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


def check(address: str) -> None:
    """Refuse an address that has used too much.

    Raises:
        HTTPException: it has.
    """
    for kind, most in MOST.items():
        if used[kind, address] > most.amount:
            raise HTTPException(503, most.refusal)
