"""Measure the demo's response times, failures and memory with many visitors at once.

    python -m benchmarks.demo_load            about three minutes
    python -m benchmarks.demo_load --busy     alongside a process that keeps one core busy

The benchmark starts the demo and applies one load after another, each of 1 to 200 visitors. For
each load, it prints how many requests ended in an answer (a prediction), a message (such as "the
queue is full") or a failure (anything else). It also prints the median and the 95th percentile of
the answers' response times in seconds, and the server's memory. It needs Linux.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np

from demo.sample import example_files
from demo.serving.server import CLEANUP_SECONDS
from mobilenetv3_cifar import list_variants
from mobilenetv3_cifar.command_line import command_parser, one_line_errors
from training.loop.provenance import ROOT

LOADS = {  # visitors, requests per visitor, and seconds between a reply and the next request
    "warming up": (1, 50, 0),
    "1 visitor, 50 requests": (1, 50, 0),
    "8 visitors, 15 requests each": (8, 15, 0),
    "50 visitors, 4 each, 15 s pauses": (50, 4, 15),
    "200 visitors at once": (200, 1, 0),
    "1 visitor again, 50 requests": (1, 50, 0),
}


async def classify(client: httpx.AsyncClient, variant: str, image: bytes) -> str:
    """Upload an image to the demo and ask for its prediction.

    Return "answer" for a prediction, "message" for a refusal with a reason, else a description of
    the failure.
    """
    try:
        answer = await client.post("/gradio_api/upload", files={"files": ("a.png", image)})
        if answer.status_code == 200:
            file = {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}
            body = {"data": [file, variant, "gradcam", "predicted", 0.5]}
            answer = await client.post("/gradio_api/call/classify", json=body)
        if answer.status_code == 200:
            answer = await client.get(f"/gradio_api/call/classify/{answer.json()['event_id']}")
    except httpx.HTTPError as error:
        return type(error).__name__
    known = {"event: complete": "answer", '{"detail":': "message"}
    return next((name for sign, name in known.items() if sign in answer.text), answer.text)


def visitor(url: str, number: int) -> httpx.AsyncClient:
    """Return a client with its own IP address, because the demo limits requests by address."""
    # The server closes idle connections after five seconds. The client closes them earlier, so that
    # no request uses a closed connection.
    limits = httpx.Limits(max_connections=None, keepalive_expiry=2)
    transport = httpx.AsyncHTTPTransport(
        verify=False, limits=limits, local_address=f"127.0.1.{number + 1}"
    )
    return httpx.AsyncClient(base_url=url, timeout=120, transport=transport)


async def visit(url: str, variant: str, visitors: int, requests: int, pause: float) -> str:
    """Simulate visitors who wait `pause` seconds after each reply. Return a line of results."""
    images = [file.read_bytes() for file in example_files()]
    outcomes: Counter[str] = Counter()
    seconds: list[float] = []

    async def one(number: int) -> None:
        async with visitor(url, number) as client:
            await asyncio.sleep(pause * number / visitors)  # spread arrivals
            for turn in range(requests):
                started = time.perf_counter()
                outcome = await classify(client, variant, images[(number + turn) % len(images)])
                outcomes[outcome] += 1
                if outcome == "answer":
                    seconds.append(time.perf_counter() - started)
                await asyncio.sleep(pause)

    await asyncio.gather(*map(one, range(visitors)))
    median, p95 = np.percentile(seconds, [50, 95]) if seconds else (0, 0)
    answers, messages = outcomes.pop("answer", 0), outcomes.pop("message", 0)
    return (
        f"{answers:5} answers{messages:5} messages{outcomes.total():4} failures   "
        f"median {median:6.3f}   p95 {p95:6.3f}   {dict(outcomes) or ''}"
    )


def megabytes(server: subprocess.Popen[bytes]) -> str:
    pages = int(Path(f"/proc/{server.pid}/statm").read_text().split()[1])
    return f"{pages * os.sysconf('SC_PAGE_SIZE') / 1e6:7.0f} MB"


@one_line_errors()
def main() -> None:
    parser = command_parser("benchmarks.demo_load", __doc__)
    parser.add_argument("--port", default="7899")
    parser.add_argument("--busy", action="store_true", help="also keep one core busy")
    arguments = parser.parse_args()
    variant, url = list_variants()[0].name, f"http://127.0.0.1:{arguments.port}"
    os.environ["GRADIO_SERVER_PORT"] = arguments.port
    busy = [sys.executable, "-c", "while True: pass"] if arguments.busy else ["true"]
    command = [sys.executable, str(ROOT / "app.py")]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(busy) as busy_process,
        subprocess.Popen(command, stdout=log, stderr=log) as server,
    ):
        try:
            while server.poll() is None:
                with suppress(httpx.TransportError):
                    httpx.get(url, trust_env=False)
                    break
            for name, load in LOADS.items():
                line = asyncio.run(visit(url, variant, *load))
                print(f"{name:36}{line}{megabytes(server)}", flush=True)
            time.sleep(2 * CLEANUP_SECONDS)  # wait for a cleanup to free memory
            print(f"{'no visitors for a while':36}{megabytes(server)}")
        finally:
            busy_process.kill()
            server.terminate()
        server.wait()
        log.seek(0)
        _, *tracebacks = log.read().decode(errors="replace").split("Traceback")
        print(f"tracebacks in the log: {len(tracebacks)}", *tracebacks, sep="\n")


if __name__ == "__main__":
    main()
