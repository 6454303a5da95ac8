"""Many visitors at once: the demo's answers, response times and memory.

    python -m benchmarks.demo_load            about four minutes
    python -m benchmarks.demo_load --soak     5,000 requests, a quarter of an hour
    python -m benchmarks.demo_load --busy     beside a process that keeps one core busy

Starts the demo on a port of its own and prints a line for each crowd: answers, messages (sentences
about a full queue or a damaged image), failures (anything else), the median and 95th percentile in
seconds, and the server's memory and open files afterwards.
"""

import argparse
import asyncio
import io
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO

import httpx
import numpy as np
from PIL import Image

from demo.sample import example_files
from demo.serving.server import CLEANUP_SECONDS as TRIM_SECONDS
from mobilenetv3_cifar import list_variants

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
START_SECONDS = 120
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF")


class Crowd:
    """Visitors of one server, and the outcomes of their requests."""

    def __init__(self, url: str, variant: str) -> None:
        # The server closes idle connections after five seconds: close them earlier.
        limits = httpx.Limits(max_connections=None, keepalive_expiry=2)
        self.client = httpx.AsyncClient(base_url=url, timeout=120, trust_env=False, limits=limits)
        self.variant = variant
        self.outcomes: Counter[str] = Counter()
        self.seconds: list[float] = []

    async def classify(self, data: bytes) -> None:
        """One request as the page makes it: upload, ask, wait for the answer."""
        started = time.perf_counter()
        try:
            outcome = await self.ask(data)
        except httpx.HTTPError as error:
            outcome = type(error).__name__
        self.outcomes[outcome] += 1
        if outcome == "answer":
            self.seconds.append(time.perf_counter() - started)

    async def ask(self, data: bytes) -> str:
        uploaded = await self.client.post("/gradio_api/upload", files={"files": ("a.png", data)})
        if uploaded.status_code != 200:
            return "message"
        file = {"path": uploaded.json()[0], "meta": {"_type": "gradio.FileData"}}
        body = {"data": [file, self.variant, "gradcam", "predicted", 0.5]}
        joined = await self.client.post("/gradio_api/call/classify", json=body)
        if joined.status_code != 200:
            return "message" if "detail" in joined.text else joined.text
        event = joined.json()["event_id"]
        stream = (await self.client.get(f"/gradio_api/call/classify/{event}")).text
        if "event: complete" in stream:
            return "answer"
        return "message" if '"error": "' in stream else stream

    def report(self, name: str, server: int) -> None:
        failures = {
            text: count
            for text, count in self.outcomes.items()
            if text not in ("answer", "message")
        }
        middle, late = np.percentile(self.seconds, [50, 95]) if self.seconds else (0, 0)
        print(
            f"{name:32}{self.outcomes['answer']:5} answers{self.outcomes['message']:5} messages"
            f"{sum(failures.values()):4} failures   median {middle:6.3f}   p95 {late:6.3f}"
            f"   {resident(server):5.0f} MB{open_files(server):5} files   {failures or ''}",
            flush=True,
        )


async def closed_loop(crowd: Crowd, visitors: int, requests: int, think: float = 0) -> None:
    """Each visitor asks again after the answer and `think` seconds."""

    async def visit(number: int) -> None:
        images = [file.read_bytes() for file in example_files()]
        await asyncio.sleep(think * number / visitors)  # they do not all arrive together
        for turn in range(requests):
            await crowd.classify(images[(number + turn) % len(images)])
            await asyncio.sleep(think)

    await asyncio.gather(*(visit(number) for number in range(visitors)))


async def damaged(crowd: Crowd, count: int) -> None:
    """Images of every format with a few bytes changed."""
    for data in damaged_images(count):
        await crowd.classify(data)


def damaged_images(count: int) -> Iterable[bytes]:
    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (48, 48, 3), dtype=np.uint8))
    for number in range(count):
        buffer = io.BytesIO()
        noise.save(buffer, format=FORMATS[number % len(FORMATS)])
        data = np.frombuffer(buffer.getvalue(), np.uint8).copy()
        data[random.integers(0, len(data), 5)] = random.integers(0, 256, 5)
        yield data[: random.integers(len(data) // 2, 2 * len(data))].tobytes()


async def nobody(crowd: Crowd) -> None:
    """Meanwhile the server returns free memory to the system."""
    await asyncio.sleep(2 * TRIM_SECONDS)


Crowds = dict[str, Callable[[Crowd], Awaitable[None]]]
CROWDS: Crowds = {
    "warming up, 50 requests": lambda crowd: closed_loop(crowd, 1, 50),
    "1 visitor, 50 requests": lambda crowd: closed_loop(crowd, 1, 50),
    "8 visitors, 15 requests each": lambda crowd: closed_loop(crowd, 8, 15),
    "50 visitors thinking 15 s, 4 each": lambda crowd: closed_loop(crowd, 50, 4, think=15),
    "200 visitors at once": lambda crowd: closed_loop(crowd, 200, 1),
    "500 damaged images": lambda crowd: damaged(crowd, 500),
    "1 visitor again, 50 requests": lambda crowd: closed_loop(crowd, 1, 50),
    "nobody, for a while": nobody,
}
SOAK: Crowds = {
    "2 visitors, 500 requests": lambda crowd: closed_loop(crowd, 2, 250),
    "nobody, for a while": nobody,
    "2 visitors, 4,500 more": lambda crowd: closed_loop(crowd, 2, 2250),
    "nobody again": nobody,
}


async def measure(crowds: Crowds, url: str, variant: str, server: int) -> None:
    for name, visit in crowds.items():
        crowd = Crowd(url, variant)
        await visit(crowd)
        await crowd.client.aclose()
        crowd.report(name, server)


def resident(process: int) -> float:
    """Megabytes of memory."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE_BYTES / 1e6


def open_files(process: int) -> int:
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def start(app: str, port: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            sys.exit(f"error: port {port} is taken: choose another with --port")
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port)}
    server = subprocess.Popen([sys.executable, app], env=environment, stdout=log, stderr=log)
    for _ in range(START_SECONDS):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        if server.poll() is not None:
            sys.exit(f"error: {app} stopped with exit code {server.returncode}")
        time.sleep(1)
    server.kill()
    sys.exit(f"error: {app} did not serve within {START_SECONDS} seconds")


@contextmanager
def busy_core() -> Iterator[None]:
    """Another process that computes all the time."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo_load")
    parser.add_argument("--app", default="app.py")
    parser.add_argument("--variant", help="default: the best one")
    parser.add_argument("--port", type=int, default=7899)
    parser.add_argument("--soak", action="store_true", help="5,000 requests, and nothing else")
    parser.add_argument("--busy", action="store_true", help="keep one core busy meanwhile")
    arguments = parser.parse_args()
    with tempfile.TemporaryFile() as log, busy_core() if arguments.busy else nullcontext():
        server = start(arguments.app, arguments.port, log)
        url = f"http://127.0.0.1:{arguments.port}"
        try:
            variant = arguments.variant or list_variants()[0].name
            asyncio.run(measure(SOAK if arguments.soak else CROWDS, url, variant, server.pid))
        finally:
            server.terminate()
            server.wait()
        log.seek(0)
        text = log.read().decode(errors="replace")
        _, *tracebacks = text.split("Traceback")
        print(f"tracebacks in the log: {len(tracebacks)}", *tracebacks, sep="\n")


if __name__ == "__main__":
    main()
