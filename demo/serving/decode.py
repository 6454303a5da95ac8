"""This script runs in the process that opens visitors' images.

`decoder.py` starts the process, and kills it if an image takes too long. This file imports nothing
from `demo`, because importing `demo` loads gradio, which takes seconds and 200 MB of memory.
"""

import io
import json
import math
import os
import resource
import sys
import time
from pathlib import Path

from PIL import AvifImagePlugin, Image

from mobilenetv3_cifar.errors import ImageError
from mobilenetv3_cifar.images import FORMATS, damaged, open_image

MAX_SIDE = 512  # pixels; an image with a longer side is reduced
CPU_SECONDS = 3  # limit per image; the largest accepted image takes about one second
MEMORY = 1_500_000_000  # bytes of address space; the largest accepted image needs less than half
SENT, PIXELS = ".upload", ".pixels"  # names of two files: the upload, and its pixels as BMP
TOO_COSTLY = "the image takes too long or too much memory to open"
NO_SPACE = "the image cannot be kept: the server lacks disk space or memory"


def reduce(image: Image.Image) -> Image.Image:
    """Reduce an image to at most MAX_SIDE pixels per side. Sides are rounded up, so none is 0."""
    factor = MAX_SIDE / max(image.size)
    if factor >= 1:
        return image
    return image.resize((math.ceil(image.width * factor), math.ceil(image.height * factor)))


def main() -> None:
    """For each folder on stdin, save the upload's pixels and print [format, error, CPU seconds]."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # macOS refuses this limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # the default, a thread per core, takes more memory
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # hide warnings, which would fill the log
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    for line in sys.stdin:
        folder, started = Path(line.rstrip("\n")), time.process_time()
        format, reason = None, None
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(started) + CPU_SECONDS, hard))
        try:
            data = (folder / SENT).read_bytes()
            reduce(open_image(data)).save(folder / PIXELS, format="BMP")
            format = Image.open(io.BytesIO(data), formats=FORMATS).format
        except ImageError as error:
            reason = TOO_COSTLY if isinstance(error.__cause__, MemoryError) else str(error)
        except MemoryError:
            reason = TOO_COSTLY
        except OSError:
            reason = NO_SPACE
        except Exception:  # decoders raise many kinds of errors for damaged files
            reason = str(damaged("the image"))
        print(json.dumps([format, reason, time.process_time() - started]), flush=True)


if __name__ == "__main__":
    main()
