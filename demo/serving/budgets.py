"""Limit what each visitor (an IPv4 address or IPv6 /64 network) uses, to protect the others."""

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.exceptions import HTTPException
from starlette.types import Scope

# {kind: (limit for all visitors together, limit per address)} at any one time.
# Streams are limited per session instead of per address.
SHARES = {
    "connections": (2500, 400),
    "uploads": (256, 48),
    "streams": (2000, 6),
}
PERIOD = 300  # seconds; at the end of each period, `used` is cleared
MOST = {  # {kind: (limit per address and period, error message)}
    "seconds": (60, "Your images take too much time to open: try again in a few minutes."),
    # Images are kept for half an hour. The limit keeps an address from filling the disk meanwhile.
    "bytes": (100e6, "Too many images came from your address: try again in a few minutes."),
}
under_way: dict[str, Counter[str]] = {kind: Counter() for kind in SHARES}
used: dict[tuple[str, str], float] = defaultdict(float)  # {(kind, address): amount in this period}


def address_of(scope: Scope) -> str:
    """Return the client's IPv4 address or IPv6 /64 network. One client can own a whole /64."""
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
    """During a `with` block, count one more of a kind: "connections", "uploads" or "streams".

    Raises:
        HTTPException: the limit in SHARES for all visitors or for `visitor` is reached.
    """
    counts, (most, most_of_one) = under_way[kind], SHARES[kind]
    if counts.total() >= most or counts[visitor] >= most_of_one:
        raise HTTPException(503, f"Too many {kind} at a time: try again in a while.")
    counts[visitor] += 1
    try:
        yield
    finally:
        counts[visitor] -= 1
        if not counts[visitor]:
            del counts[visitor]


def check(address: str) -> None:
    """Raise an HTTPException if the client at `address` has exceeded a limit in MOST."""
    for kind, (most, refusal) in MOST.items():
        if used[kind, address] > most:
            raise HTTPException(503, refusal)
