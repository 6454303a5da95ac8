"""A process that opens images, run by `decoder.py`: it may take too long, and then it is killed.

Nothing of `demo` is imported: with gradio, it would start in seconds and take 200 MB.
"""

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
TOO_COSTLY = "the image takes too long or too much memory to open"


def reduce(image: Image.Image) -> Image.Image:
    """At most MAX_SIDE pixels a side; rounded up, so that the image is not narrower than before."""
    factor = MAX_SIDE / max(image.size)
    if factor >= 1:
        return image
    return image.resize((math.ceil(image.width * factor), math.ceil(image.height * factor)))


def main() -> None:
    """A line names a file and the PNG to write; a line says why not, and the seconds of CPU."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    for line in sys.stdin:
        source, target = json.loads(line)
        began, reason = time.process_time(), None
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(began) + CPU_SECONDS, hard))
        try:
            image = open_image(Path(source).read_bytes())  # bytes: a path would be named
            reduce(image).save(target, compress_level=1)
        except ImageError as error:
            reason = str(error)
        except MemoryError:
            reason = TOO_COSTLY
        print(json.dumps([reason, time.process_time() - began]), flush=True)


if __name__ == "__main__":
    main()
