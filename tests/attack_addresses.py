"""The demo and an attacker in a network that has loopback alone: prints what came of it as JSON.

A second server stands for an address that must never be fetched; whoever asks it is counted.
"""

import fcntl
import json
import socket
import struct
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import httpx
import safehttpx

from mobilenetv3_cifar import variants
from tests.demo_server import NAMES, make_variant

SIOCSIFFLAGS, UP_AND_RUNNING = 0x8914, 0x41
PREFIXES = (
    "/gradio_api/file=",
    "/gradio_api/file/",
    "/gradio_api//file=",
    "/gradio_api/./file/",
    "/gradio_api/%66ile=",
    "/gradio_api/file%3D",
    "/gradio_api/x/../file/",
    "//gradio_api/file=",
    "/gradio_api/proxy=",
    "/file=",
    "/proxy=",
    "/static/",
    "/assets/",
)
fetched = []


class Secret(BaseHTTPRequestHandler):
    def do_GET(self):
        fetched.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"SECRET")

    do_HEAD = do_POST = do_GET  # noqa: N815

    def log_message(self, *args):
        pass


def start_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", UP_AND_RUNNING))


def start_demo(folder):
    for seed, name in enumerate(NAMES):
        make_variant(folder / name, seed)
    variants.variants_folder = lambda: folder
    safehttpx.is_public_ip = lambda ip: True  # else gradio would not fetch from this machine
    from demo import build_demo, launch_options

    options = launch_options() | {"quiet": True, "prevent_thread_lock": True}
    return build_demo().launch(**options)[1].removeprefix("http://").strip("/")


def ask(host, method, path):
    """The status and the body, of a path that is sent exactly as it is."""
    name, port = host.split(":")
    with socket.create_connection((name, int(port)), timeout=20) as connection:
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        connection.sendall(f"{head}Content-Length: 0\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    return int(answer[9:12]), answer


def probe(host, port):
    """Every spelling of an address or a file in every place that might read it."""
    address = f"http://127.0.0.1:{port}/x.png"
    forms = [address, quote(address, safe=""), quote(quote(address, safe=""), safe="")]
    forms += [address.upper(), f"%20{address}", address.replace("//", "/"), f"//127.0.0.1:{port}/x"]
    forms += ["/etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "/files/../../../etc/passwd", "%00"]
    forms += ["/files/%2e%2e/%2e%2e/etc/passwd", "/files/.lock", "file:///etc/passwd", "/files/"]
    codes, leaks = Counter(), []
    for path in [prefix + form for prefix in PREFIXES for form in forms]:
        for method in ("GET", "HEAD", "POST"):
            code, answer = ask(host, method, path)
            codes[code] += 1
            if b"SECRET" in answer or b"root:" in answer:
                leaks.append(path)
    return codes, leaks


def send(host, port):
    """Addresses in every field of a call."""
    address = f"http://127.0.0.1:{port}/x.png"
    meta = {"meta": {"_type": "gradio.FileData"}}
    values = [{"path": address}, {"url": address}, {"path": None, "url": address}, address]
    values += [value | meta for value in values[:-1]] + [{"video": {"path": address}}]
    codes = Counter()
    with httpx.Client(base_url=f"http://{host}", timeout=60, trust_env=False) as session:
        for value in values:
            answer = session.post("/gradio_api/call/compare", json={"data": [value]})
            codes[answer.status_code] += 1
            if answer.status_code == 200:
                event = answer.json()["event_id"]
                session.get(f"/gradio_api/call/compare/{event}")
    return codes


def main():
    start_loopback()
    other = ThreadingHTTPServer(("127.0.0.1", 0), Secret)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    host = start_demo(Path(sys.argv[1]))
    codes, leaks = probe(host, other.server_port)
    sent = send(host, other.server_port)
    print(json.dumps({"probes": codes, "calls": sent, "leaks": leaks, "fetched": fetched}))


if __name__ == "__main__":
    main()
