"""Where the AV1 data of an AVIF file lies, read from its boxes (ISO/IEC 14496-12 and 23008-12).

What a decoder might read in two ways is an IndexError, as is a box that is cut short.
"""

import struct
from collections.abc import Iterator

MAX_BOXES = 20_000
TABLES = (b"stsz", b"stco", b"co64")
PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"meta")


def av1_images(data: bytes) -> Iterator[bytes]:
    """The data of each item, and of the first sample of each track."""
    found = list(boxes(data))
    idat = unique(found, (b"idat",)).get(b"idat", 0)
    budget = 2 * len(data)
    for kind, start in found:
        if kind == b"iloc":
            for image in items(data, start, idat):
                budget -= len(image)
                if budget < 0:
                    raise IndexError  # the same bytes again and again
                yield image
        elif kind == b"trak":
            yield from first_sample(data, unique(list(boxes(data, start)), TABLES))


def unique(found: list[tuple[bytes, int]], kinds: tuple[bytes, ...]) -> dict[bytes, int]:
    """Where the boxes of these kinds start; of two of one kind, a decoder may read either."""
    starts = {kind: start for kind, start in found if kind in kinds}
    if len(starts) < sum(kind in kinds for kind, _ in found):
        raise IndexError
    return starts


def boxes(data: bytes, start: int = 0) -> Iterator[tuple[bytes, int]]:
    """The kind of each box of the file, or within the box whose content starts at `start`.

    With each comes where its content starts (ISO/IEC 14496-12, 4.2).
    """
    size = struct.unpack_from(">I", data, start - 8)[0] if start else 0
    rest = [(start, min(start - 8 + size, len(data)) if size else len(data))]
    for _ in range(MAX_BOXES):
        if not rest:
            return
        start, end = rest.pop()
        if start + 8 > end:
            continue
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        stop = min(start + size, end) if size else end
        if stop < start + head:
            continue
        yield kind, start + head
        rest.append((stop, end))
        if kind in PARENTS:
            rest.append((start + head + 4 * (kind == b"meta"), stop))


def items(data: bytes, position: int, idat: int) -> Iterator[bytes]:
    """The data of the items that an `iloc` box lists (ISO/IEC 14496-12, 8.11.3)."""
    version = data[position]
    sizes = [half for byte in data[position + 4 : position + 6] for half in (byte >> 4, byte & 15)]
    offset_size, length_size, base_size, index_size = sizes
    number = 4 if version == 2 else 2
    position += 6

    def read(size: int) -> int:
        nonlocal position
        position += size
        if position > len(data):
            raise IndexError
        return int.from_bytes(data[position - size : position])

    for _ in range(min(read(number), MAX_BOXES)):
        read(number)
        method = read(2) & 15 if version else 0
        read(2)
        base = read(base_size) + (idat if method == 1 else 0)
        image = b""
        for _ in range(read(2)):
            if version:
                read(index_size)
            start = base + read(offset_size)
            length = read(length_size)
            image += data[start : start + length] if length else data[start:]
            if len(image) > 2 * len(data):
                break
        yield image


def first_sample(data: bytes, tables: dict[bytes, int]) -> Iterator[bytes]:
    """The first sample of a track; only the first frame of an animation is decoded."""
    if b"stsz" not in tables:
        return
    fixed, _, first = struct.unpack_from(">III", data, tables[b"stsz"] + 4)
    for kind, number in ((b"stco", ">I"), (b"co64", ">Q")):
        if kind in tables:
            (start,) = struct.unpack_from(number, data, tables[kind] + 8)
            yield data[start : start + (fixed or first)]
