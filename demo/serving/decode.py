"""A process that opens images, run by `decoder.py`: it may take too long, and then it is killed.

Nothing of `demo` is imported: with gradio, it would start in seconds and take 200 MB.
"""

import io
import json
import math
import resource
import sys
import time
from pathlib import Path

from PIL import Image

from mobilenetv3_cifar.errors import ImageError
from mobilenetv3_cifar.images import open_image

MAX_SIDE = 512  # pixels; a longer image is reduced
CPU_SECONDS = 3  # of one image; the largest that is accepted takes about one
MEMORY = 1_500_000_000  # bytes of address space; the largest image takes less than half
SENT, PIXELS = ".upload", ".pixels"  # files of a folder: what was sent, and a BMP image of it
TOO_COSTLY = "the image takes too long or too much memory to open"


def reduce(image: Image.Image) -> Image.Image:
    """At most MAX_SIDE pixels a side; rounded up, so that the image is not narrower than before."""
    factor = MAX_SIDE / max(image.size)
    if factor >= 1:
        return image
    return image.resize((math.ceil(image.width * factor), math.ceil(image.height * factor)))


def main() -> None:
    """A line names a folder; a line says the image's format, or why not, and the seconds of CPU."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    for line in sys.stdin:
        folder, began = Path(line.rstrip("\n")), time.process_time()
        format, reason = None, None
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(began) + CPU_SECONDS, hard))
        try:
            data = (folder / SENT).read_bytes()
            reduce(open_image(data)).save(folder / PIXELS, format="BMP")
            format = Image.open(io.BytesIO(data)).format
        except ImageError as error:
            reason = str(error)
        except MemoryError:
            reason = TOO_COSTLY
        print(json.dumps([format, reason, time.process_time() - began]), flush=True)


if __name__ == "__main__":
    main()
