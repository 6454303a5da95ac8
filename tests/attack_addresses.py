"""Attack the demo in a network that has only loopback, and print a list of the demo's failures.

The attacks contain the address of a second server, which records the requests that it gets. The
demo must never send a request to this server.
"""

import fcntl
import json
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import httpx
import safehttpx

from demo.serving.server import launch_options
from tests.light_demo import build_page

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
FILES = ("/etc/passwd", "app.py", "../x", "file:///etc/passwd", "\\\\host\\share", "/files/.lock")
fetched = []


class Secret(BaseHTTPRequestHandler):
    def do_GET(self):
        fetched.append(f"fetched {self.path}")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"SECRET")

    do_HEAD = do_POST = do_GET  # noqa: N815

    def log_message(self, *args):
        pass


def start_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", UP_AND_RUNNING))


def ask(host, method, path):
    """Request exactly `path`, without normalising it, and return the raw response."""
    name, port = host.split(":")
    with socket.create_connection((name, int(port)), timeout=20) as connection:
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        connection.sendall(f"{head}Content-Length: 0\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def probe(host, port):
    """Request files, and a URL of the server at `port`, from the demo at `host`.

    Yield the requests that the demo does not refuse.
    """
    address = f"http://127.0.0.1:{port}/x.png"
    forms = [address, quote(address, safe=""), quote(quote(address, safe=""), safe="")]
    forms += [address.upper(), f"%20{address}", address.replace("//", "/"), f"//127.0.0.1:{port}/x"]
    forms += ["/etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "/files/../../../etc/passwd", "%00"]
    forms += ["/files/%2e%2e/%2e%2e/etc/passwd", "/files/.lock", "file:///etc/passwd", "/files/"]
    for path in [prefix + form for prefix in PREFIXES for form in forms]:
        for method in ("GET", "POST"):
            answer = ask(host, method, path)
            if answer[9:12] not in (b"403", b"404") or b"SECRET" in answer or b"root:" in answer:
                yield f"{method} {path}: {answer[:20]!r}"


def send(host, port):
    """Send URLs and paths in place of images to the demo at `host`. Yield unexpected responses."""
    address = f"http://127.0.0.1:{port}/x.png"
    meta = {"meta": {"_type": "gradio.FileData"}}
    values = [{"path": address}, {"url": address}, {"path": None, "url": address}, address]
    values += [value | meta for value in values[:-1]] + [{"deep": [{"path": address}]}]
    values += [{"path": path} for path in FILES]
    with httpx.Client(base_url=f"http://{host}", timeout=60, trust_env=False) as session:
        for value in values:
            answer = session.post("/gradio_api/call/describe", json={"data": [value, 0]})
            if answer.status_code == 200:
                session.get(f"/gradio_api/call/describe/{answer.json()['event_id']}")
            elif answer.status_code != 403:
                yield f"{value}: {answer.text}"
            joined = {"data": [value, 0], "fn_index": 0, "session_hash": "x"}
            answer = session.post("/gradio_api/queue/join", json=joined)
            if "path" in str(value) and "None" not in str(value) and answer.status_code != 403:
                yield f"{value} joins: {answer.text}"


def main():
    start_loopback()
    safehttpx.is_public_ip = lambda ip: True  # otherwise gradio refuses to fetch from loopback
    other = ThreadingHTTPServer(("127.0.0.1", 0), Secret)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    options = launch_options() | {"quiet": True, "prevent_thread_lock": True}
    host = build_page().launch(**options)[1].removeprefix("http://").strip("/")
    wrong = [*probe(host, other.server_port), *send(host, other.server_port), *fetched]
    print(json.dumps(wrong))


if __name__ == "__main__":
    main()
