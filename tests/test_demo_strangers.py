"""The demo among strangers: what they may send, and what they must never get."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from demo.safe_image import SafeImage
from demo.sample import example_files
from demo.serving import bodies, budgets, folder
from mobilenetv3_cifar.preprocessing import LABELS

pytest_plugins = ["tests.demo_server"]
pytestmark = pytest.mark.filterwarnings("ignore:::gradio", "ignore:::PIL")
CAT = Path("demo/assets/cat.png")
DEFAULTS = ["small-best", "gradcam", "predicted", 0.5]


@pytest.fixture(scope="module")
def http(url):
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as session:
        yield session


def encode(picture, format="PNG"):
    buffer = io.BytesIO()
    picture.save(buffer, format=format)
    return buffer.getvalue()


def upload(http, data, name="picture.png"):
    """Send a file as a visitor's browser does; the path that the server gave it."""
    answer = http.post("/gradio_api/upload", files={"files": (name, data)})
    answer.raise_for_status()
    return answer.json()[0]


def real(path):
    """Where a file lies of which the server said a path."""
    return folder.own_folder() / path.removeprefix("/files/")


def file_at(path):
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def call(http, name, *values):
    """Call a function of the API: ("complete", its results) or ("error", its message)."""
    joined = http.post(f"/gradio_api/call/{name}", json={"data": values})
    if joined.status_code != 200:
        return "refused", joined.text
    lines = http.get(f"/gradio_api/call/{name}/{joined.json()['event_id']}").text.splitlines()
    kind = next(line for line in reversed(lines) if line.startswith("event: "))
    return kind.removeprefix("event: "), json.loads(lines[-2 if not lines[-1] else -1][6:])


def classify(http, data, name="picture.png"):
    return call(http, "classify", file_at(upload(http, data, name)), *DEFAULTS)


def test_every_image_that_is_an_input_is_opened_by_our_own_function(page):
    inputs = {block for function in page.fns.values() for block in function.inputs}
    images = [block for block in inputs if block.get_block_name() == "image"]
    assert len(images) >= 2
    assert all(isinstance(block, SafeImage) for block in images)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no picture", "is not an image of these formats"),
        (CAT.read_bytes()[:500], "is damaged or cut short"),
        (encode(Image.new("L", (9000, 9000))), "has more than 25 million pixels"),
        (encode(Image.new("L", (6000, 2))), "is too narrow"),
    ],
    ids=["no picture", "cut short", "huge", "narrow"],
)
def test_a_bad_picture_is_refused_with_a_sentence_and_no_traceback(http, data, message, capfd):
    kind, answer = classify(http, data)
    assert kind == "error"
    assert message in json.dumps(answer)
    assert "/tmp" not in json.dumps(answer)
    assert "Traceback" not in capfd.readouterr().err


def test_damaged_pictures_by_the_dozen_leave_the_server_alive(http, capfd):
    chance = np.random.default_rng(0)
    noise = Image.fromarray(chance.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    for format in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF") * 5:
        data = np.frombuffer(encode(noise, format), np.uint8).copy()
        data[chance.integers(0, len(data), 6)] = chance.integers(0, 256, 6)
        kind, answer = classify(http, data.tobytes())
        assert kind == "complete" or "picture" in json.dumps(answer), answer
    assert classify(http, CAT.read_bytes())[0] == "complete"
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("mode", ["I;16", "RGBA", "CMYK", "P"])
def test_pictures_of_other_modes_are_classified(http, mode):
    picture = Image.open(CAT).convert("RGB")
    other = picture.convert("L").point(lambda v: v * 257, "I").convert("I;16")
    picture = other if mode == "I;16" else picture.convert(mode)
    kind, answer = classify(http, encode(picture, "TIFF" if mode == "CMYK" else "PNG"))
    assert kind == "complete"
    assert answer[0]["label"] in LABELS


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/proc/self/environ",
        "app.py",
        "../pyproject.toml",
        "/etc/../etc/passwd",
        "file:///etc/passwd",
        "\\\\host\\share",
    ],
)
def test_a_file_of_the_server_is_never_read(http, path, capfd):
    kind, answer = call(http, "classify", file_at(path), *DEFAULTS)
    assert kind in ("error", "refused")
    for text in (json.dumps(answer), http.get(f"/gradio_api/file={path}").text):
        assert "root:" not in text
        assert "build_demo" not in text
        assert "hatchling" not in text


@pytest.mark.parametrize(
    "address", ["http://example.org/a.png", "HTTPS://169.254.169.254/", " http://x"]
)
def test_an_address_is_never_fetched(http, address, lookups):
    hidden = {"data": [{"deep": [file_at(address)]}], "fn_index": 0, "session_hash": "x"}
    assert http.post("/gradio_api/queue/join", json=hidden).status_code == 403
    assert call(http, "classify", file_at(address), *DEFAULTS)[0] == "refused"
    assert http.get(f"/gradio_api/file={address}").status_code == 403
    assert http.get(f"/gradio_api/proxy={address}").status_code == 404
    assert not [
        name for name in lookups if name and not str(name).startswith(("127.", "localhost"))
    ]


@pytest.mark.parametrize("route", ["/monitoring", "/docs", "/gradio_api/vibe-code", "/dev/reload"])
def test_routes_that_the_page_does_not_use_are_not_there(http, route):
    assert http.get(route).status_code in (403, 404)


def test_long_bodies_are_refused(http):
    small = [("files", (f"{n}.png", bytes(1_000_000))) for n in range(12)]
    assert http.post("/gradio_api/upload", files=small).status_code in (400, 413)
    assert http.post("/gradio_api/upload", files={"files": bytes(10_500_000)}).status_code == 413
    long = json.dumps({"data": ["x" * 300_000]})
    assert http.post("/gradio_api/queue/join", content=long).status_code == 413


def test_half_an_upload_leaves_nothing_behind(url, http):
    host, port = url.removeprefix("http://").split(":")
    head = (
        "POST /gradio_api/upload HTTP/1.1\r\nHost: demo\r\nContent-Length: 900000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    part = '--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    before = {path for path in folder.own_folder().rglob("*") if path.is_file()}
    with socket.create_connection((host, int(port))) as visitor:
        visitor.sendall((head + part).encode() + bytes(200_000))
    whole = {"content-type": "multipart/form-data; boundary=x"}
    answer = http.post("/gradio_api/upload", content=part.encode() + bytes(9), headers=whole)
    assert (answer.status_code, answer.json()) == (400, {"detail": "The upload is cut short."})
    time.sleep(0.5)
    assert {path for path in folder.own_folder().rglob("*") if path.is_file()} == before


def test_an_address_that_has_sent_too_much_is_refused(http, monkeypatch):
    monkeypatch.setattr(budgets, "MAX_UPLOADED", -1)
    answer = http.post("/gradio_api/upload", files={"files": ("a.png", CAT.read_bytes())})
    assert answer.status_code == 503
    assert "Too many images came from your address" in answer.text


def test_a_picture_that_was_deleted_is_said_to_be(http):
    file = upload(http, CAT.read_bytes(), "mine.png")
    real(file).unlink()
    kind, answer = call(http, "classify", file_at(file), *DEFAULTS)
    assert kind == "refused"
    assert "was deleted after half an hour" in answer


@contextlib.contextmanager
def half_an_upload(port):
    head = (
        "POST /gradio_api/upload HTTP/1.1\r\nHost: demo\r\nContent-Length: 900000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    )
    with socket.create_connection(("127.0.0.1", int(port))) as visitor:
        visitor.sendall(head.encode() + bytes(500_000))
        yield


@pytest.mark.parametrize(("ending", "status"), [(signal.SIGTERM, 0), (signal.SIGKILL, -9)])
def test_nothing_is_left_when_the_server_ends_in_the_middle_of_its_work(tmp_path, ending, status):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = os.environ | {"GRADIO_SERVER_PORT": port, "GRADIO_TEMP_DIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "app.py"], env=environment)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as session:
        while True:
            with contextlib.suppress(httpx.ConnectError):
                session.get("/")
                break
            assert process.poll() is None
            time.sleep(0.2)
        sent = upload(session, CAT.read_bytes())
        assert list(tmp_path.rglob("picture.png"))
        with session.stream("GET", "/gradio_api/heartbeat/x"), half_an_upload(port):
            for _ in range(3):
                session.post("/gradio_api/call/compare", json={"data": [file_at(sent)]})
            process.send_signal(ending)
            assert process.wait(timeout=30) == status
    deadline = time.monotonic() + 10
    while [path for path in tmp_path.rglob("*") if path.is_file()]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_body_that_does_not_arrive_is_given_up(url, monkeypatch):
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.2)

    def drip():
        yield b"--x\r\n"
        time.sleep(1)
        yield b"--x--"

    whole = {"content-type": "multipart/form-data; boundary=x"}
    answer = httpx.post(f"{url}/gradio_api/upload", content=drip(), headers=whole, trust_env=False)
    assert answer.status_code == 408


def test_visitors_at_the_same_time_get_their_own_answers(http, shipped):
    files = example_files()
    alone = [classify(http, file.read_bytes(), file.name)[1] for file in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(
            pool.map(lambda file: classify(http, file.read_bytes(), file.name)[1], files)
        )
    for one, other in zip(alone, together, strict=True):
        assert one[0] == other[0]
        pixels = [
            http.get(f"/gradio_api/file={answer[1]['path']}").content for answer in (one, other)
        ]
        assert pixels[0] == pixels[1]
