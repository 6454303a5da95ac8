"""These tests send the demo malformed and forbidden requests, as an attacker might."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack, suppress

import pytest

from demo.serving import connection, folder, log
from tests.light_demo import JSON, call, client, connect

pytest_plugins = ["tests.light_server"]
pytestmark = pytest.mark.filterwarnings("ignore:::gradio", "ignore:::PIL")


def test_no_spelling_of_an_address_makes_the_demo_fetch_it(tmp_path):
    """The attack runs with only a loopback network interface, and prints the demo's failures."""
    command = ["unshare", "-rn", sys.executable, "-m", "tests.attack_addresses"]
    environment = os.environ | {"GRADIO_TEMP_DIR": str(tmp_path)}
    attack = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert (attack.stdout.splitlines()[-1:], attack.returncode) == (["[]"], 0), attack.stderr
    assert "Traceback" not in attack.stderr


JUNK = [None, 5, -1, 1e308, True, "x", "\ud800", [], {}, [[]], {"path": None}, "a" * 5000]


def test_values_of_wrong_types_are_answered_with_words_and_no_traceback(http, caplog):
    for value in JUNK:
        for other in (value, 0):
            kind, answer = call(http, "describe", value, other)
            text = answer if isinstance(answer, str) else json.dumps(answer)
            assert kind in ("complete", "error", 400, 422), (value, kind, answer)
            assert kind == "complete" or len(text.split()) > 3, (value, answer)
    assert not [record for record in caplog.records if record.exc_info]


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


def test_silent_connections_make_room_for_others(url, monkeypatch):
    monkeypatch.setattr(connection, "MAX_CONNECTIONS", 20)
    with ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(connect(url))
        with client(url) as other:
            assert other.get("/gradio_api/app_id").status_code == 200
        assert len(connection.Connection.open_connections) <= 21


def test_headers_that_do_not_end_are_not_waited_for(url, monkeypatch):
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.3)
    with connect(url) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: demo\r\nX: ")
        with suppress(ConnectionResetError):
            assert slow.recv(1000) == b""  # the connection is closed; otherwise recv times out
