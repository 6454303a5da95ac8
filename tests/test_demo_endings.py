"""These tests check that no file of a visitor remains, however the demo's server ends."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.light_demo import client, connect, file_at, free_port, slow_gif, upload

CAT = Path(__file__).parent.parent / "demo" / "assets" / "cat.png"
HALF = (
    b"POST /gradio_api/upload HTTP/1.1\r\nHost: demo\r\nContent-Length: 9000000\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
) + bytes(2_000_000)


@pytest.fixture(scope="module")
def servers():
    """Yield a program that forks servers. At the end, kill all servers that are still running."""
    command = [sys.executable, "-m", "tests.light_demo"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as program:
        program.started = []
        yield program
        program.stdin.close()
    for process in program.started:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def start(servers, base):
    port = free_port()
    servers.stdin.write(f"{base} {port}\n")
    servers.stdin.flush()
    process, url = int(servers.stdout.readline()), f"http://127.0.0.1:{port}"
    servers.started.append(process)
    end = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{url}/gradio_api/app_id", trust_env=False)
            return process, url
        except httpx.TransportError:
            assert time.monotonic() < end
            time.sleep(0.1)


def left(base):
    """Return all file names below `base`. Unlike `rglob`, `os.walk` tolerates vanishing files."""
    return [name for _, _, names in os.walk(base) for name in names]


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("ending", "work"),
    [
        (signal.SIGTERM, "idle"),
        (signal.SIGTERM, "page open"),
        (signal.SIGTERM, "answer pending"),
        (signal.SIGTERM, "half an upload"),
        (signal.SIGTERM, "image"),
        (signal.SIGINT, "answer pending"),
        (signal.SIGKILL, "page open"),
        (signal.SIGKILL, "half an upload"),
        (signal.SIGKILL, "image"),
        (signal.SIGSEGV, "answer pending"),
    ],
)
def test_nothing_is_left_however_the_server_ends(servers, tmp_path, ending, work):
    process, url = start(servers, tmp_path)
    with client(url) as http, connect(url) as other, ThreadPoolExecutor() as pool:
        path = upload(http, CAT.read_bytes())
        assert left(tmp_path)
        if work == "page open":
            other.sendall(b"GET /gradio_api/heartbeat/x HTTP/1.1\r\nHost: demo\r\n\r\n")
            wait_until(lambda: b"ALIVE" in other.recv(4000))
        elif work == "answer pending":
            http.post("/gradio_api/call/describe", json={"data": [file_at(path), 60]})
        elif work == "half an upload":
            other.sendall(HALF)
        elif work == "image":
            pool.submit(client(url).post, "/gradio_api/upload", files={"files": slow_gif()})
            wait_until(lambda: any(name == ".upload" for name in left(tmp_path)))
        os.kill(process, ending)
        wait_until(lambda: not left(tmp_path))
        wait_until(lambda: not Path(f"/proc/{process}").exists())
        time.sleep(0.2)
        assert not left(tmp_path)
