"""Build the static page with the network of the fixture `model`, and serve it on a local port."""

import functools
import http.server
import threading

import pytest

from demo.static import build as building
from mobilenetv3_cifar.export import export_onnx


@pytest.fixture(scope="module")
def page_folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("network") / "small-cifar32"
    model.save_pretrained(folder)
    export_onnx(model, folder / "model.onnx")
    out = tmp_path_factory.mktemp("static") / "page"
    building.build(out, str(folder))
    return out


@pytest.fixture(scope="module")
def url(page_folder):
    handler = functools.partial(Handler, directory=str(page_folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def end_headers(self):
        self.send_header("Cache-Control", "max-age=600")  # as GitHub Pages does
        super().end_headers()
