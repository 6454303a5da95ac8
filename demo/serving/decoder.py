"""Keeps the images that visitors send, once a process of its own has opened and reduced them.

No check of a file's structure finds every image that takes minutes or gigabytes to decode. Limits
of CPU time and memory stop all of them, and the server goes on meanwhile.
"""

import asyncio
import json
import os
import re
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from weakref import WeakValueDictionary

from PIL import Image

from demo.serving import decode
from demo.serving.decode import PIXELS, SENT
from demo.serving.folder import new_folder
from mobilenetv3_cifar.errors import ImageError

SECONDS = 30  # of one image, on a machine that is busy with other work
ROOT = Path(__file__).parents[2]
UNSAFE = re.compile(r"[^\w-]+")  # in a file's name
REFUSAL = ".refusal"  # a file beside what is shown: the sentence


def open_kept(path: Path) -> Image.Image:
    """The image that a visitor has sent, or one of the page's own PNG files.

    Raises:
        ImageError: what was sent is refused; one sentence.
    """
    refusal, pixels = path.with_name(REFUSAL), path.with_name(PIXELS)
    if refusal.exists():
        raise ImageError(refusal.read_text(encoding="utf-8"))
    return Image.open(pixels if pixels.exists() else path, formats=["BMP", "PNG"]).convert("RGB")


class Decoder:
    """Starts the process, and restarts it after it has ended."""

    def __init__(self) -> None:
        self.process: Process | None = None
        self.free = asyncio.Lock()
        self.turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def keep(self, sent: BinaryIO, name: str, address: str) -> tuple[Path, float]:
        """Keep what a visitor sent, for the page to show and for `open_kept`.

        Returns: the file to show, and the seconds of CPU that it took.
        """
        stem = UNSAFE.sub("_", Path(name).stem)[-80:] or "image"
        folder = new_folder("sent")
        with (folder / SENT).open("wb") as file:  # it waits there, not in memory
            shutil.copyfileobj(sent, file)
        turn = self.turns.setdefault(address, asyncio.Lock())
        async with turn, self.free:  # an address waits for its own images first
            format, reason, seconds = await self.ask(folder)
        if reason is None:
            suffix = {"JPEG": "jpg", "MPO": "jpg"}.get(format, format.lower())
            return (folder / SENT).rename(folder / f"{stem}.{suffix}"), seconds
        (folder / SENT).unlink()
        (folder / REFUSAL).write_text(reason, encoding="utf-8")
        shown = folder / f"{stem}.png"
        Image.new("L", (1, 1), "white").save(shown)
        return shown, seconds

    async def ask(self, folder: Path) -> tuple[str, str | None, float]:
        """The image's format, why it is refused, and the seconds of CPU that it took."""
        process = await self.start()
        assert process.stdin is not None
        assert process.stdout is not None
        answer = b""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(SECONDS):
                process.stdin.write(f"{folder}\n".encode())
                answer = await process.stdout.readline()
        if answer:
            format, reason, seconds = json.loads(answer)
            return format, reason, seconds
        await self.stop()  # it has ended, or would answer the next question with this answer
        return "", decode.TOO_COSTLY, decode.CPU_SECONDS

    async def start(self) -> Process:
        if self.process is None:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # else modules beside this file would hide those of Python
                decode.__file__,
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                start_new_session=True,  # Ctrl-C is for the server
            )
        return self.process

    async def stop(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
