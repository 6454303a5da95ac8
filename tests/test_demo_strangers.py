"""The demo and untrusted visitors: what they may send, must never get, and leave behind."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo.serving import budgets, folder, guard, log, server
from tests.light_demo import (
    build_page,
    call,
    client,
    connect,
    encode,
    file_at,
    free_port,
    noise,
    slow_gif,
    upload,
)

pytestmark = pytest.mark.filterwarnings("ignore:::gradio", "ignore:::PIL")
CAT = Path("demo/assets/cat.png")


@pytest.fixture(scope="module")
def url():
    page, port = build_page(), free_port()
    options = server.launch_options() | {"server_port": port, "quiet": True}
    page.launch(prevent_thread_lock=True, **options)
    yield f"http://127.0.0.1:{port}"
    page.close(verbose=False)


@pytest.fixture(scope="module")
def http(url):
    with client(url) as session:
        yield session


def describe(http, data, wait=0):
    return call(http, "describe", file_at(upload(http, data)), wait)


def visitors_files():
    return {path for kind in folder.KEPT for path in (folder.own_folder() / kind).glob("*/*")}


JSON = {"content-type": "application/json"}
MULTIPART = {"content-type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no image", "is not an image of these formats"),
        (b"<script>", "is not an image of these formats"),
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
    shown = http.get(f"/gradio_api/file={path}")  # something for the page to show
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


def test_every_format_is_opened_and_shown_as_it_is(http):
    for format in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM"):
        data = encode(noise((700, 350)), format)
        path = upload(http, data, "own.bin")
        shown = http.get(f"/gradio_api/file={path}")
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


FILES = ["/etc/passwd", "app.py", "../x", "file:///etc/passwd", "\\\\host\\share", "/files/.lock"]
ADDRESSES = ["http://example.org/a.png", "HTTPS://169.254.169.254/", " http://x", "//x/a.png"]


@pytest.mark.parametrize("path", FILES + ADDRESSES)
def test_no_file_is_read_and_no_address_fetched(http, path):
    assert call(http, "describe", file_at(path), 0)[0] == 403
    hidden = {"data": [{"deep": [file_at(path)]}, 0], "fn_index": 0, "session_hash": "x"}
    assert http.post("/gradio_api/queue/join", json=hidden).status_code == 403
    assert http.get(f"/gradio_api/file={path}").status_code == 403
    assert call(http, "describe", {"path": None, "url": path}, 0)[0] in (403, "error")


def test_no_spelling_of_an_address_leaves_a_network_without_others(tmp_path):
    """In a network namespace, with a second server for the address; prints what went wrong."""
    command = ["unshare", "-rn", sys.executable, "-m", "tests.attack_addresses"]
    environment = os.environ | {"GRADIO_TEMP_DIR": str(tmp_path)}
    found = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert (found.stdout.splitlines()[-1:], found.returncode) == (["[]"], 0), found.stderr
    assert "Traceback" not in found.stderr


JUNK = [None, 5, -1, 1e308, True, "x", "\ud800", [], {}, [[]], {"path": None}, "a" * 5000]


def test_values_of_wrong_types_are_answered_with_words_and_no_traceback(http, caplog):
    for value in JUNK:
        for other in (value, 0):
            kind, answer = call_raw(http, {"data": [value, other]})
            text = answer if isinstance(answer, str) else json.dumps(answer)
            assert kind in ("complete", "error", 400, 422), (value, kind, answer)
            assert kind == "complete" or len(text.split()) > 3, (value, answer)
    assert not [record for record in caplog.records if record.exc_info]


def call_raw(http, body):
    joined = http.post("/gradio_api/call/describe", content=json.dumps(body), headers=JSON)
    if joined.status_code != 200:
        return joined.status_code, joined.text
    text = http.get(f"/gradio_api/call/describe/{joined.json()['event_id']}").text
    return ("complete" if "event: complete" in text else "error"), text


@pytest.mark.parametrize("field", ["fn_index", "session_hash", "event_data", "trigger_id", "data"])
def test_no_body_is_answered_with_a_failure_of_the_server(http, field, caplog):
    for value in JUNK:
        body = {"data": [None, 0], "fn_index": 0, "session_hash": "junk"} | {field: value}
        for path in ("queue/join", "run/predict", "call/describe", "cancel", "reset"):
            answer = http.post(f"/gradio_api/{path}", content=json.dumps(body), headers=JSON)
            assert answer.status_code < 500 or "Too many of your requests" in answer.text
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("sent", JUNK)
def test_the_data_of_an_event_is_an_id_or_nothing(http, sent):
    body = {"data": [], "fn_index": 3, "session_hash": "chosen", "event_data": sent}
    answer = http.post("/gradio_api/queue/join", content=json.dumps(body), headers=JSON)
    assert answer.status_code == 200
    stream = http.get("/gradio_api/queue/data", params={"session_hash": "chosen"}).text
    assert '"data":["None"]' in stream


@pytest.mark.parametrize("sent", [["a"], [], None, "c", {"a": 1}])
def test_a_choice_is_one_of_those_that_are_offered(http, sent, caplog):
    assert call(http, "choose", "a") == ("complete", ["a"])
    kind, answer = call(http, "choose", sent)
    assert (kind, len(answer["error"].split()) > 3) == ("error", True)
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("number", ["NaN", "[-Infinity]", '{"deep": [1e999]}'])
def test_a_number_that_is_not_finite_is_refused(http, number):
    body = f'{{"data": [null, {number}]}}'
    answer = http.post("/gradio_api/call/describe", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["detail"]) == (400, "A number is not finite.")


def test_a_text_that_cannot_be_sent_back_is_refused(http):
    assert call(http, "echo", "é 🔎") == ("complete", ["é 🔎"])
    body = json.dumps({"data": [{"\ud800": 1}]})
    answer = http.post("/gradio_api/call/echo", content=body, headers=JSON)
    assert (answer.status_code, "character" in answer.text) == (400, True)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"[" * 100_000, b"\xff", b'{"data":'])
def test_a_body_that_is_no_json_object_is_refused(http, body):
    assert http.post("/gradio_api/queue/join", content=body).status_code in (400, 422)


def test_a_failure_of_the_server_is_a_sentence_that_tells_nothing(http, caplog):
    kind, answer = call(http, "fail")
    assert (kind, answer["error"]) == ("error", "Something went wrong on the server.")
    assert "a secret of the server" in caplog.text
    for _ in range(log.MOST):
        call(http, "fail")
    assert caplog.text.count("A function of the page failed") <= log.MOST


@pytest.mark.parametrize("name", ["nothing", "hidden", "v2/describe"])
def test_an_unknown_function_is_not_found(http, name):
    assert http.post(f"/gradio_api/call/{name}", json={"data": []}).status_code == 404


def test_a_stream_of_an_unknown_session_ends_at_once(http):
    for path in ("queue/data?session_hash=unknown", "call/describe/unknown"):
        assert "session_not_found" in http.get(f"/gradio_api/{path}").text


def test_every_answer_has_the_headers_and_no_site_is_reflected(http):
    for path in ("/", "/config", "/nothing", "/gradio_api/info"):
        answer = http.get(path, headers={"origin": "https://evil.example", "host": "demo.example"})
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers
        assert str(folder.own_folder().parent) not in answer.text


def test_other_sites_may_not_upload_or_call(http):
    for sent in ({"sec-fetch-site": "cross-site"}, {"origin": "http://evil"}, {"origin": "null"}):
        files = {"files": b"x"}
        assert http.post("/gradio_api/upload", files=files, headers=sent).status_code == 403
        assert http.post("/gradio_api/queue/join", json={}, headers=sent).status_code == 403


def test_long_bodies_are_refused(http):
    assert http.post("/gradio_api/upload", files={"files": bytes(10_500_000)}).status_code == 413
    assert http.post("/gradio_api/upload", files={"files": bytes(12_000_000)}).status_code == 413
    long = json.dumps({"data": ["x" * 300_000]})
    assert http.post("/gradio_api/queue/join", content=long).status_code == 413


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


def test_an_upload_in_a_charset_that_is_none_is_refused(http):
    headers = {"content-type": f"{MULTIPART['content-type']}; charset=undefined"}
    body = PART + b"\r\n--x--\r\n"
    assert http.post("/gradio_api/upload", content=body, headers=headers).status_code == 400


def test_the_longest_name_of_a_file_is_no_failure(http):
    path = upload(http, CAT.read_bytes(), "\U0001d538" * 80)
    assert http.get(f"/gradio_api/file={path}").content == CAT.read_bytes()


def test_a_body_that_does_not_arrive_is_given_up(http, monkeypatch):
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
    with client(url, "127.0.0.4") as other:  # its other uploads have arrived meanwhile
        assert other.post("/gradio_api/upload", files={"files": b"x" * 20}).status_code == 503
    assert visitors_files() == before
    before = budgets.used["bytes", "127.0.0.1"]
    upload(http, encode(Image.new("RGB", (512, 512))))  # a small file of many pixels
    assert budgets.used["bytes", "127.0.0.1"] - before > 3 * 512 * 512


def test_an_image_that_was_deleted_is_said_to_be(http):
    path = upload(http, CAT.read_bytes())
    folder.find_file(path).unlink()
    status, answer = call(http, "describe", file_at(path), 0)
    assert (status, "deleted after half an hour" in answer) == (403, True)


def test_silent_connections_make_room_for_others(url, monkeypatch):
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 20)
    with ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(connect(url))
        with client(url) as other:
            assert other.get("/gradio_api/app_id").status_code == 200
        assert len(server.Connection.everyone) <= 21


def test_headers_that_do_not_end_are_not_waited_for(url, monkeypatch):
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.3)
    with connect(url) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: demo\r\nX: ")
        with suppress(ConnectionResetError):
            assert slow.recv(1000) == b""  # closed; if it stays open this times out


def test_visitors_at_the_same_time_get_their_own_answers(url):
    images = [encode(Image.new("RGB", (32, 32), (level, 0, 0))) for level in range(0, 256, 16)]

    def visit(data):
        with client(url) as session:
            mean, made = describe(session, data)[1]
            return mean, session.get(f"/gradio_api/file={made['path']}").content

    alone = [visit(data) for data in images]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(visit, images)) == alone
