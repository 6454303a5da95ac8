"""These tests check which uploaded images the demo opens, refuses, limits and deletes."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo.serving import budgets, folder, guard
from demo.serving.decode import reduce
from tests.light_demo import call, client, encode, file_at, noise, slow_gif, upload

pytest_plugins = ["tests.light_server"]
pytestmark = pytest.mark.filterwarnings("ignore:::gradio", "ignore:::PIL")
CAT = Path(__file__).parent.parent / "demo" / "assets" / "cat.png"


def describe(http, data):
    return call(http, "describe", file_at(upload(http, data)), 0)


def visitors_files():
    return {path for kind in folder.KEPT for path in (folder.own_folder() / kind).glob("*/*")}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no image", "is not an image in one of these formats"),
        (b"<script>", "is not an image in one of these formats"),
        (CAT.read_bytes()[:500], "is damaged or cut short"),
        (encode(Image.new("L", (9000, 9000))), "has more than 25 million pixels"),
        (encode(Image.new("L", (6000, 2))), "is too narrow"),
    ],
)
def test_a_bad_image_is_refused_with_a_sentence_and_is_not_hosted(http, data, message, caplog):
    path = upload(http, data, "a.html")
    kind, answer = call(http, "describe", file_at(path), 0)
    assert kind == "error"
    assert message in json.dumps(answer)
    shown = http.get(f"/gradio_api/file={path}")  # the server sends a blank image instead
    assert (path.rpartition("/")[2], shown.headers["content-type"]) == ("a.png", "image/png")
    assert data not in shown.content
    assert not [record for record in caplog.records if record.exc_info]


def test_an_image_that_takes_minutes_is_refused_while_others_are_served(http, url):
    with client(url, "127.0.0.2") as other, ThreadPoolExecutor() as pool:
        attack = pool.submit(describe, other, slow_gif())
        assert call(http, "echo", "x")[0] == "complete"
        assert not attack.done()
        assert describe(http, encode(noise()))[0] == "complete"
        assert "too long or too much memory" in str(attack.result())
    assert budgets.used["seconds", "127.0.0.2"] > 2
    assert describe(http, encode(noise()))[0] == "complete"


def test_every_format_is_opened_and_shown_as_it_is_if_browsers_can(http):
    for format in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM"):
        data = encode(noise((700, 350)), format)
        path = upload(http, data, "own.bin")
        shown = http.get(f"/gradio_api/file={path}")
        if format in ("TIFF", "PPM"):
            format, data = "BMP", encode(reduce(noise((700, 350))), "BMP")
        assert (shown.headers["content-type"], shown.content) == (f"image/{format.lower()}", data)
        kind, answer = call(http, "describe", file_at(path), 0)
        assert (kind, answer[0]) == ("complete", pytest.approx(127.5, abs=2))


def test_damaged_images_by_the_dozen_leave_the_server_alive(http, caplog):
    chance = np.random.default_rng(0)
    for format in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF") * 5:
        data = np.frombuffer(encode(noise(), format), np.uint8).copy()
        data[chance.integers(0, len(data), 6)] = chance.integers(0, 256, 6)
        kind, answer = describe(http, data.tobytes())
        assert kind == "complete" or "image" in json.dumps(answer), answer
    assert not [record for record in caplog.records if record.exc_info]


def test_long_bodies_are_refused(http):
    assert http.post("/gradio_api/upload", files={"files": bytes(10_500_000)}).status_code == 413
    assert http.post("/gradio_api/upload", files={"files": bytes(12_000_000)}).status_code == 413
    long = json.dumps({"data": ["x" * 300_000]})
    assert http.post("/gradio_api/queue/join", content=long).status_code == 413


MULTIPART = {"content-type": "multipart/form-data; boundary=x"}
PART = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nabc'


@pytest.mark.parametrize(
    "body",
    [
        PART,
        PART + b"--",
        PART.replace(b"files", b"other") + b"\r\n--x--\r\n",
        PART + b"\r\n" + PART + b"\r\n--x--\r\n",
        PART.replace(b'; filename="a"', b"") + b"\r\n--x--\r\n",
        b"junk",
        b"",
    ],
)
def test_an_upload_that_is_not_one_whole_file_is_refused_and_leaves_nothing(http, body):
    before = visitors_files()
    answer = http.post("/gradio_api/upload", content=body, headers=MULTIPART)
    assert answer.status_code == 400
    assert len(answer.json()["detail"].split()) > 2
    assert visitors_files() == before


def test_an_upload_with_an_invalid_charset_is_refused(http):
    headers = {"content-type": f"{MULTIPART['content-type']}; charset=undefined"}
    body = PART + b"\r\n--x--\r\n"
    assert http.post("/gradio_api/upload", content=body, headers=headers).status_code == 400


def test_a_very_long_file_name_is_accepted(http):
    path = upload(http, CAT.read_bytes(), "\U0001d538" * 80)
    assert http.get(f"/gradio_api/file={path}").content == CAT.read_bytes()


def test_a_body_that_does_not_arrive_in_time_is_refused(http, monkeypatch):
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.2)

    def drip():
        yield b"--x\r\n"
        time.sleep(1)
        yield b"--x--"

    assert http.post("/gradio_api/upload", content=drip(), headers=MULTIPART).status_code == 408


def test_an_address_that_has_sent_too_much_is_refused_alone(http, url, monkeypatch):
    monkeypatch.setitem(budgets.used, ("bytes", "127.0.0.3"), 2e8)
    with client(url, "127.0.0.3") as other:
        answer = other.post("/gradio_api/upload", files={"files": b"x"})
    assert (answer.status_code, answer.json()["detail"]) == (503, budgets.MOST["bytes"][1])
    before = visitors_files()
    monkeypatch.setitem(budgets.used, ("bytes", "127.0.0.4"), budgets.MOST["bytes"][0] - 10)
    with client(url, "127.0.0.4") as other:  # this address may send only 10 more bytes
        assert other.post("/gradio_api/upload", files={"files": b"x" * 20}).status_code == 503
    assert visitors_files() == before
    before = budgets.used["bytes", "127.0.0.1"]
    upload(http, encode(Image.new("RGB", (512, 512))))  # the server also keeps the decoded pixels
    assert budgets.used["bytes", "127.0.0.1"] - before > 3 * 512 * 512


def test_a_deleted_image_is_reported_as_deleted(http):
    path = upload(http, CAT.read_bytes())
    folder.find_file(path).unlink()
    status, answer = call(http, "describe", file_at(path), 0)
    assert (status, "deleted after half an hour" in answer) == (403, True)


def test_visitors_at_the_same_time_get_their_own_answers(url):
    images = [encode(Image.new("RGB", (32, 32), (level, 0, 0))) for level in range(0, 256, 16)]

    def visit(data):
        with client(url) as session:
            mean, made = describe(session, data)[1]
            return mean, session.get(f"/gradio_api/file={made['path']}").content

    alone = [visit(data) for data in images]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(visit, images)) == alone
