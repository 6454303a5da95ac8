"""Open and downscale uploaded images in a separate process, and store them.

Some images take minutes or gigabytes to decode, and checks of a file's structure cannot detect all
such images. The separate process has limited CPU time and memory, so no image can stop the server.
"""

import asyncio
import json
import logging
import os
import re
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from weakref import WeakValueDictionary

from PIL import Image
from starlette.exceptions import HTTPException

from demo.serving import budgets, decode
from demo.serving.decode import NO_SPACE, PIXELS, SENT
from demo.serving.folder import new_folder
from mobilenetv3_cifar.errors import ImageError

SECONDS = 30  # time limit for one image, long enough for a busy machine
ROOT = Path(__file__).parents[2]
# In file names, "_" replaces each sequence of UNSAFE characters. Only ASCII characters remain, so a
# name of 80 characters takes 80 bytes. File systems limit the bytes in a name, not the characters.
UNSAFE = re.compile(r"[^\w-]+", re.ASCII)
NOT_SHOWN = ("TIFF", "PPM")  # most browsers cannot show these formats, so the page shows a BMP file
REFUSAL = ".refusal"  # name of the file that states why the upload was refused
logger = logging.getLogger(__name__)


def open_kept(path: Path) -> Image.Image:
    """Open the image at `path`, which is a visitor's upload or one of the page's own PNG files.

    Raises:
        ImageError: the upload was refused. The message states the reason.
    """
    refusal, pixels = path.with_name(REFUSAL), path.with_name(PIXELS)
    if refusal.exists():
        raise ImageError(refusal.read_text(encoding="utf-8"))
    return Image.open(pixels if pixels.exists() else path, formats=["BMP", "PNG"]).convert("RGB")


class Decoder:
    """The process that opens visitors' images. If the process ends, a new one replaces it."""

    def __init__(self) -> None:
        self.process: Process | None = None
        self.free = asyncio.Lock()
        self.turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def keep(self, sent: BinaryIO, name: str, address: str) -> Path:
        """Open the upload `sent`, and keep it for `open_kept`. Return the file that the page shows.

        The CPU time for opening it counts towards the limit of `address`, the client's address.

        Raises:
            HTTPException: the client exceeded a limit, or the server cannot open or keep images.
        """
        stem = UNSAFE.sub("_", Path(name).stem)[-80:] or "image"
        folder = new_folder("sent")
        try:
            return await self.keep_in(folder, sent, stem, address)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if not isinstance(error, OSError):
                raise
            logger.warning("An image cannot be kept: %s", error)
            raise HTTPException(503, f"{NO_SPACE.capitalize()}.") from error

    async def keep_in(self, folder: Path, sent: BinaryIO, stem: str, address: str) -> Path:
        with (folder / SENT).open("wb") as file:  # on disk, a waiting upload takes no memory
            shutil.copyfileobj(sent, file)
        turn = self.turns.setdefault(address, asyncio.Lock())
        # The lock `self.free` ensures that only one image is opened at a time. Each address has its
        # own lock, `turn`, so that at most one image per address waits for `self.free`.
        async with turn, self.free:
            budgets.check(address)
            format, reason, seconds = await self.ask(folder)
            budgets.used["seconds", address] += seconds
        if reason == NO_SPACE:
            raise OSError("the process that opens images got an OSError")
        if reason is not None:
            (folder / SENT).unlink()
            (folder / REFUSAL).write_text(reason, encoding="utf-8")
            shown = folder / f"{stem}.png"
            Image.new("L", (1, 1), "white").save(shown)
            return shown
        if format in NOT_SHOWN:
            (folder / SENT).unlink()
            return (folder / PIXELS).rename(folder / f"{stem}.bmp")
        suffix = {"JPEG": "jpg", "MPO": "jpg"}.get(format, format.lower())
        return (folder / SENT).rename(folder / f"{stem}.{suffix}")

    async def ask(self, folder: Path) -> tuple[str, str | None, float]:
        """Ask the separate process to open the upload in `folder`.

        Return the image's format, the reason for refusing it (or None), and the CPU seconds.
        """
        for _ in range(2):  # retry once: the process may have been killed while it was idle
            process = await self.start()
            assert process.stdin is not None
            assert process.stdout is not None
            answer = b""
            with suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(SECONDS):
                    process.stdin.write(f"{folder}\n".encode())
                    answer = await process.stdout.readline()
                    if not answer:
                        await process.wait()
            if answer:
                return tuple(json.loads(answer))
            code = process.returncode
            await self.stop()  # otherwise a late answer would be read as the next image's answer
            if code in (None, -signal.SIGXCPU):  # the image took too long
                break
            logger.warning("The process that opens images ended with %s", code)
            if code > 0:  # the process exited by itself; a signal gives a negative code
                raise HTTPException(503, "The server cannot open images: try again later.")
        return "", decode.TOO_COSTLY, decode.CPU_SECONDS

    async def start(self) -> Process:
        if self.process is None:
            paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # otherwise queue.py in this folder would shadow Python's own `queue`
                decode.__file__,
                stdin=PIPE,
                stdout=PIPE,
                env=os.environ | {"PYTHONPATH": paths, "MALLOC_ARENA_MAX": "1"},
                start_new_session=True,  # so that Ctrl-C reaches only the server
            )
        return self.process

    async def stop(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
