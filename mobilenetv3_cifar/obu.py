"""The size and the number of frames in AV1 data, read from its headers (AV1 specification, 5.3)."""

SEQUENCE_HEADER, FRAME_HEADER, FRAME = 1, 3, 6
MAX_UNITS = 10_000


class Bits:
    """Reads numbers of some bits; past the end they are 0."""

    def __init__(self, data: bytes) -> None:
        self.value = int.from_bytes(data)
        self.left = 8 * len(data)

    def read(self, count: int) -> int:
        self.left -= count
        return (self.value >> self.left if self.left >= 0 else 0) & (1 << count) - 1


def av1_cost(data: bytes) -> tuple[int, int]:
    """The pixels of the largest frame that the data may hold, and the number of its frames."""
    pixels = frames = position = 0
    for _ in range(MAX_UNITS):
        if position >= len(data):
            break
        head = data[position]
        kind = head >> 3 & 15
        position += 2 if head & 4 else 1
        size = len(data) - position
        if head & 2:
            size, position = read_leb128(data, position)
        if kind == SEQUENCE_HEADER:
            pixels = max(pixels, sequence_pixels(Bits(data[position : position + min(size, 500)])))
        frames += kind in (FRAME_HEADER, FRAME)
        position += size
    return pixels, frames


def read_leb128(data: bytes, position: int) -> tuple[int, int]:
    """A number of variable length, and the position behind it."""
    value = 0
    for index in range(8):
        byte = data[position]
        position += 1
        value |= (byte & 127) << 7 * index
        if byte < 128:
            break
    return value, position


def sequence_pixels(bits: Bits) -> int:
    """The largest size that a frame of this sequence may have (5.5.1)."""
    bits.read(4)  # profile, still picture
    reduced = bits.read(1)
    if reduced:
        bits.read(5)
    else:
        skip_operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    width, height = bits.read(width_bits) + 1, bits.read(height_bits) + 1
    if not reduced:  # a frame may be larger than the sequence says, as far as its bits go
        width = width if (width - 1).bit_length() >= width_bits else 1 << width_bits
        height = height if (height - 1).bit_length() >= height_bits else 1 << height_bits
    return width * height


def skip_operating_points(bits: Bits) -> None:
    delay_bits = 0
    if bits.read(1):  # timing
        bits.read(64)
        if bits.read(1):
            zeros = 0
            while zeros < 32 and bits.left > 0 and not bits.read(1):
                zeros += 1
            bits.read(zeros)
        if bits.read(1):  # decoder model
            delay_bits = bits.read(5) + 1
            bits.read(42)
    delay = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:
            bits.read(1)
        if delay_bits and bits.read(1):
            bits.read(2 * delay_bits + 1)
        if delay and bits.read(1):
            bits.read(4)
