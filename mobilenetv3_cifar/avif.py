"""Count the pixels that the frames of an AVIF file really have.

The file's metadata may claim a smaller size. libavif still decodes each frame at its real size, and
only then scales it to the claimed size. So the cost of decoding depends on the real size.
"""

import io
import re
from collections.abc import Iterator
from itertools import islice

SEQUENCE_HEADER = 1  # the type number of the sequence headers in an AV1 stream of units (OBUs)
SIZE = re.compile(rb"[\x80-\xff]{0,7}[\0-\x7f]")  # a unit's size, encoded as LEB128


def coded_pixels(data: bytes) -> int:
    """Return the pixel count of the largest frame of an AVIF file.

    Raises:
        ValueError: no sequence header was found, the data is cut short, or a header has timing
            fields, which only a video needs.
    """
    return max(frame_pixels(header) for part in parts(data) for header in sequence_headers(part))


def parts(data: bytes) -> Iterator[bytes]:
    """Yield an AVIF file's items, and for each track all data from its start to the file's end.

    The whole file is searched for the boxes (iloc, stco and co64) that point to items and tracks.
    """
    for box in re.finditer(rb"iloc([\0-\2])...(.)(.)", data, re.DOTALL):
        later, stream = box[1] > b"\0", io.BytesIO(data[box.end() :])
        offset, length, base, index = (n for byte in box.group(2, 3) for n in divmod(byte[0], 16))
        wide = 4 if box[1] == b"\2" else 2
        for _ in range(take(stream, wide)):
            take(stream, wide)
            in_idat = later and take(stream, 2) & 15
            take(stream, 2)
            first, extents = take(stream, base), []
            for _ in range(take(stream, 2)):
                take(stream, index if later else 0)
                extents.append((first + take(stream, offset), take(stream, length)))
            for start in [each.end() for each in re.finditer(b"idat", data)] if in_idat else [0]:
                yield b"".join(data[start + at : start + at + size] for at, size in extents)
    for box in re.finditer(rb"stco.{8}(.{4})|co64.{8}(.{8})", data, re.DOTALL):
        yield data[int.from_bytes(box[1] or box[2]) :]


def take(stream: io.BytesIO, size: int) -> int:
    number = stream.read(size)
    if len(number) < size:
        raise ValueError("a box is cut short")
    return int.from_bytes(number)


def sequence_headers(part: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(part):
        unit = part[at]
        at += 2 if unit & 4 else 1
        size = len(part) - at
        if unit & 2 and (found := SIZE.match(part, at)):
            at = found.end()
            size = sum((byte & 127) << 7 * place for place, byte in enumerate(found[0]))
        if unit >> 3 & 15 == SEQUENCE_HEADER:
            yield part[at : at + size]
        at += size


def frame_pixels(header: bytes) -> int:
    """Return the pixel count that a sequence header gives (AV1 specification, section 5.5.1)."""
    stream = iter("".join(f"{byte:08b}" for byte in header))

    def bits(count: int) -> int:
        return int("".join(islice(stream, count)), 2)

    bits(4)
    if bits(1):
        bits(5)  # skip `seq_level_idx`, as the pixel count does not depend on it
    elif bits(1):
        raise ValueError("an image has no clock")
    else:
        delays = bits(1)
        for _ in range(bits(5) + 1):
            bits(12)
            if bits(5) > 7:
                bits(1)
            if delays and bits(1):
                bits(4)
    width, height = bits(4) + 1, bits(4) + 1
    return (bits(width) + 1) * (bits(height) + 1)
