"""Downloads against a loopback server that misbehaves in every way we know of."""

import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from training.dataset import download as module
from training.dataset.download import download, run_in
from training.errors import SourceError

LENGTH = 102_400
CONTENT = bytes(range(256)) * (LENGTH // 256)


class Handler(BaseHTTPRequestHandler):
    """Each path is one behaviour; `server.ranges` records what was asked for."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.server.ranges.append(self.headers.get("Range"))
        getattr(self, self.path.strip("/"))()

    def begin(self, status=200, length=LENGTH):
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def good(self):
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.begin(206 if start else 200, LENGTH - start)
        self.wfile.write(CONTENT[start:])

    def whole(self):
        self.begin()
        self.wfile.write(CONTENT)

    def cut(self):
        self.begin()
        self.wfile.write(CONTENT[:1000])

    def missing(self):
        self.begin(404, 0)

    def unsatisfiable(self):
        self.begin(416, 0)

    def lies(self):
        self.begin(length="many")

    def endless(self):
        self.begin(length=None)
        self.forever(CONTENT)

    def drip(self):
        self.begin(length=None)
        self.forever(b"x")

    def drip_headers(self):
        self.forever(b"X")

    def forever(self, block):
        while not self.server.ended.wait(0.02):
            self.wfile.write(block)
            self.wfile.flush()


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # a client that gave up


@pytest.fixture
def url(monkeypatch):
    """The address of the server; windows and limits are small enough for a test."""
    monkeypatch.setattr(module, "WINDOW", 0.4)
    monkeypatch.setattr(module, "POLL", 0.05)
    monkeypatch.setattr(module, "MAX_BYTES", 1_000_000)
    server = Server(("127.0.0.1", 0), Handler)
    server.ranges, server.ended = [], threading.Event()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", server.ranges
    server.ended.set()
    server.shutdown()
    server.server_close()


def refused(url, path, match):
    began = time.monotonic()
    with pytest.raises(SourceError, match=match) as caught:
        download(url, path)
    assert time.monotonic() - began < 3
    assert "\n" not in str(caught.value)
    assert not path.exists()


def test_a_download_is_complete_and_leaves_nothing_beside_it(url, tmp_path):
    download(url[0] + "good", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_what_is_complete_is_not_fetched_again(url, tmp_path):
    (tmp_path / "x").write_bytes(b"complete")
    download(url[0] + "good", tmp_path / "x")
    assert url[1] == []


@pytest.mark.parametrize("path", ["good", "whole"])
def test_a_cut_download_is_resumed_also_where_the_server_starts_again(url, tmp_path, path):
    refused(url[0] + "cut", tmp_path / "x", r"ended after 1000 of 102400 bytes")
    download(url[0] + path, tmp_path / "x")
    assert url[1] == [None, "bytes=1000-"]
    assert (tmp_path / "x").read_bytes() == CONTENT


@pytest.mark.parametrize("path", ["missing", "unsatisfiable"])
def test_what_the_server_refuses_to_continue_is_not_kept(url, tmp_path, path):
    (tmp_path / "x.partial").write_bytes(b"of another file")
    refused(url[0] + path, tmp_path / "x", "HTTP Error 4")
    assert not list(tmp_path.iterdir())


def test_an_endless_body_is_given_up_and_not_kept(url, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WINDOW", 60)
    refused(url[0] + "endless", tmp_path / "x", "sent more than 1,000,000 bytes")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["drip", "drip_headers"])
def test_a_drip_is_given_up(url, tmp_path, path):
    refused(url[0] + path, tmp_path / "x", r"sent [\d,]+ bytes in 0.4 seconds")


def test_a_length_that_is_not_a_number_is_one_line(url, tmp_path):
    refused(url[0] + "lies", tmp_path / "x", "127.0.0.1: ValueError: invalid literal")


def test_a_server_that_is_not_there_is_one_line(tmp_path):
    refused("http://127.0.0.1:9/x", tmp_path / "x", "127.0.0.1: .*Connection refused")


def test_a_password_in_the_address_is_not_shown(tmp_path):
    with pytest.raises(SourceError) as caught:
        download("http://me:secret@127.0.0.1/x", tmp_path / "x")
    assert "secret" not in str(caught.value)


def test_a_command_that_hangs_is_ended(url, tmp_path):
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"sent 0 bytes in 0.4 seconds"):
        run_in(tmp_path, [sys.executable, "-c", "import time; time.sleep(60)"])
    assert time.monotonic() - began < 3


def test_a_command_that_writes_without_end_is_ended(url, tmp_path):
    code = "f = open('x', 'wb')\nwhile True: f.write(bytes(100_000)); f.flush()"
    with pytest.raises(SourceError, match=r"sent more than 1,000,000 bytes"):
        run_in(tmp_path, [sys.executable, "-c", code])


def test_a_command_that_fails_is_one_line(tmp_path):
    code = "import sys; print('no such\\npackage', file=sys.stderr); sys.exit(3)"
    with pytest.raises(SourceError, match=r"failed: no such package$"):
        run_in(tmp_path, [sys.executable, "-c", code])
