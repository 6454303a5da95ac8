"""Keeps the images that visitors send, once a process of its own has opened and reduced them.

No check of a file's structure finds every image that takes minutes or gigabytes to decode. Limits
of CPU time and memory stop all of them, and the server goes on meanwhile.
"""

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path
from weakref import WeakValueDictionary

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from demo.serving import decode
from demo.serving.folder import new_file

SECONDS = 30  # of one image, on a machine that is busy with other work
ROOT = Path(__file__).parents[2]
UNSAFE = re.compile(r"[^\w-]+")  # in a file's name
REFUSAL = "refusal"  # the text of a PNG file


def refusal(image: Image.Image) -> str | None:
    """Why the image that was sent in place of this one is refused."""
    return image.info.get(REFUSAL)


class Decoder:
    """Starts the process, and starts it again when it has ended."""

    def __init__(self) -> None:
        self.process: Process | None = None
        self.free = asyncio.Lock()
        self.turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def keep(self, content: bytes, name: str, address: str) -> tuple[Path, float]:
        """Write an image to a PNG file, or the reason why it is refused, which `refusal` reads.

        Returns: that file, and the seconds of CPU that it took.
        """
        stem = UNSAFE.sub("_", Path(name).stem)[-80:] or "image"
        target = new_file("sent", f"{stem}.png")
        source = target.with_suffix(".upload")
        turn = self.turns.setdefault(address, asyncio.Lock())
        async with turn, self.free:  # an address waits for its own images first
            try:
                source.write_bytes(content)
                reason, seconds = await self.ask(source, target)
            finally:
                source.unlink(missing_ok=True)
        if reason is not None:
            text = PngInfo()
            text.add_text(REFUSAL, reason)
            Image.new("L", (1, 1), "white").save(target, pnginfo=text)
        return target, seconds

    async def ask(self, source: Path, target: Path) -> tuple[str | None, float]:
        process = await self.start()
        assert process.stdin is not None
        assert process.stdout is not None
        answer = b""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(SECONDS):
                process.stdin.write(json.dumps([str(source), str(target)]).encode() + b"\n")
                answer = await process.stdout.readline()
        if answer:
            reason, seconds = json.loads(answer)
            return reason, seconds
        await self.stop()  # it has ended, or would answer the next question with this answer
        return decode.TOO_COSTLY, decode.CPU_SECONDS

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
