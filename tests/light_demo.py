"""Run the demo's server with a simple page, which has no networks and therefore starts fast.

`python -m tests.light_demo` reads lines from standard input. Each line contains the path of a
folder for temporary files, and a port. For each line, the program forks a server and prints the
server's process id.
"""

import io
import json
import os
import signal
import socket
import sys
import time

import gradio as gr
import httpx
import numpy as np
from PIL import Image

from demo.parts import safe_image
from demo.sample import write_png
from demo.serving.blocks import ServedBlocks
from demo.serving.server import run

JSON = {"content-type": "application/json"}


def describe(image, wait):
    if not isinstance(image, Image.Image):
        raise gr.Error(str(image or "there is no image to describe"), print_exception=False)
    time.sleep(wait or 0)
    return np.asarray(image).mean().item(), write_png(image, "made.png")


def chosen(event: gr.EventData):
    return str(event.id)


def fail():
    raise RuntimeError("a secret of the server")


def build_page():
    with ServedBlocks() as page:
        image = safe_image()
        wait, text = gr.Number(0, maximum=100), gr.Textbox()
        mean, made = gr.JSON(), gr.Image()
        button = gr.Button()
        button.click(describe, [image, wait], [mean, made], api_name="describe")
        button.click(lambda _: 0, image, mean, api_name="hidden", api_visibility="private")
        button.click(lambda text: text, text, text, api_name="echo")
        button.click(chosen, None, text, api_name="chosen")
        button.click(fail, None, mean, api_name="fail")
        letter = gr.Dropdown(["a", "b"])
        button.click(lambda letter: {letter}.pop(), letter, text, api_name="choose")
    return page.queue()


def encode(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def noise(size=(32, 32)):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def slow_gif(size=9_900_000):
    """Make a GIF with so many empty comments that Pillow needs minutes to find the first frame."""
    gif = encode(Image.new("P", (32, 32)), "GIF")
    start = 13 + 3 * 2 ** ((gif[10] & 7) + 1)
    return gif[:start] + b"!\xfe\0" * ((size - len(gif)) // 3) + gif[start:]


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def client(url, address="127.0.0.1"):
    transport = httpx.HTTPTransport(local_address=address)
    return httpx.Client(base_url=url, timeout=60, trust_env=False, transport=transport)


def connect(url):
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=5)


def upload(http, data, name="image.png"):
    """Upload a file as a browser does, and return its path on the server."""
    answer = http.post("/gradio_api/upload", files={"files": (name, data)})
    answer.raise_for_status()
    return answer.json()[0]


def file_at(path):
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def call(http, name, *values):
    """Call the server's API function `name`. Return ("complete", results) or ("error", message).

    If the server refuses the request, return (HTTP status, response text).
    """
    body = json.dumps({"data": values})  # escapes lone surrogates, which httpx would not accept
    joined = http.post(f"/gradio_api/call/{name}", content=body, headers=JSON)
    if joined.status_code != 200:
        return joined.status_code, joined.text
    lines = http.get(f"/gradio_api/call/{name}/{joined.json()['event_id']}").text.splitlines()
    kind = next(line for line in reversed(lines) if line.startswith("event: "))
    return kind.removeprefix("event: "), json.loads(lines[-2 if not lines[-1] else -1][6:])


def serve(base, port):
    os.environ |= {"GRADIO_TEMP_DIR": base, "GRADIO_SERVER_PORT": port}
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    run(build_page())


def main():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        process = os.fork()
        if not process:
            serve(*line.split())
        print(process, flush=True)


if __name__ == "__main__":
    main()
