"""Limit what each visitor (an IPv4 address or IPv6 /64 network) uses, to protect other visitors."""

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.exceptions import HTTPException
from starlette.types import Scope

# {kind: (limit for all visitors together, limit per address)}. The limits apply at any one time, to
# connections that carry a request, to uploads and to streams. For "streams", the second limit
# applies to each session or API call instead.
SHARES = {
    "connections": (2500, 400),
    "uploads": (256, 48),
    "streams": (2000, 6),
}
PERIOD = 300  # seconds; at the end of each period, `used` is cleared
MOST = {  # {kind: (limit per address and period, error message)}
    "seconds": (60, "Opening your images took too much time: try again in a few minutes."),
    # This limit keeps an address from filling the disk with images, which are kept half an hour.
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
    """Count a connection, upload or stream by `visitor` as open until the `with` block ends.

    `kind` is a key of SHARES. For a stream, `visitor` is the ID of a session or an API call.

    Raises:
        HTTPException: a limit in SHARES is reached, either for all visitors or for `visitor`.
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
