"""Many visitors at once: what the demo answers, how fast, and what it keeps in memory.

    python -m benchmarks.demo_load            about four minutes
    python -m benchmarks.demo_load --soak     5,000 requests, a quarter of an hour

Starts the demo on a port of its own and prints a line for each crowd: answers, messages (a sentence
that says what is the matter, such as a full queue or a damaged picture), failures (anything else),
the median and 95th percentile in seconds, and the server's memory and open files afterwards.
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
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from demo.sample import example_files
from demo.serving.cleanup import CLEANUP_SECONDS as TRIM_SECONDS
from mobilenetv3_cifar import list_variants

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
START_SECONDS = 120
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF")


class Crowd:
    """Visitors of one server, and what became of their requests."""

    def __init__(self, url: str, variant: str) -> None:
        # The server closes idle connections after five seconds; never meet it doing so.
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
    """Each visitor asks again as soon as it has been answered and has thought."""

    async def visit(number: int) -> None:
        pictures = [file.read_bytes() for file in example_files()]
        await asyncio.sleep(think * number / visitors)  # they do not all arrive together
        for turn in range(requests):
            await crowd.classify(pictures[(number + turn) % len(pictures)])
            await asyncio.sleep(think)

    await asyncio.gather(*(visit(number) for number in range(visitors)))


async def damaged(crowd: Crowd, count: int) -> None:
    """Pictures of every format with a few bytes changed."""
    for data in damaged_pictures(count):
        await crowd.classify(data)


def damaged_pictures(count: int) -> Iterable[bytes]:
    chance = np.random.default_rng(0)
    noise = Image.fromarray(chance.integers(0, 256, (48, 48, 3), dtype=np.uint8))
    for number in range(count):
        buffer = io.BytesIO()
        noise.save(buffer, format=FORMATS[number % len(FORMATS)])
        data = np.frombuffer(buffer.getvalue(), np.uint8).copy()
        data[chance.integers(0, len(data), 5)] = chance.integers(0, 256, 5)
        yield data[: chance.integers(len(data) // 2, 2 * len(data))].tobytes()


async def nobody(crowd: Crowd) -> None:
    """What is free goes back to the system meanwhile."""
    await asyncio.sleep(2 * TRIM_SECONDS)


Crowds = dict[str, Callable[[Crowd], Awaitable[None]]]
CROWDS: Crowds = {
    "warming up, 50 requests": lambda crowd: closed_loop(crowd, 1, 50),
    "1 visitor, 50 requests": lambda crowd: closed_loop(crowd, 1, 50),
    "8 visitors, 15 requests each": lambda crowd: closed_loop(crowd, 8, 15),
    "50 visitors thinking 15 s, 4 each": lambda crowd: closed_loop(crowd, 50, 4, think=15),
    "200 visitors at once": lambda crowd: closed_loop(crowd, 200, 1),
    "500 damaged pictures": lambda crowd: damaged(crowd, 500),
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


def start(app: str, port: int, log: io.BufferedWriter) -> subprocess.Popen[bytes]:
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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo_load")
    parser.add_argument("--app", default="app.py")
    parser.add_argument("--variant", help="default: the best one")
    parser.add_argument("--port", type=int, default=7899)
    parser.add_argument("--soak", action="store_true", help="5,000 requests, and nothing else")
    arguments = parser.parse_args()
    with tempfile.TemporaryFile() as log:
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
