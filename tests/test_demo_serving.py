"""The guard around the demo: routes, bodies, shares, queue, folder, connections and log."""

import asyncio
import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import httpx
import pytest
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from demo.serving import bodies, budgets, cleanup, connections, folder, headers, logs, queue
from demo.serving.budgets import Concurrent, Uploads, address_of
from demo.serving.cleanup import Cleanup
from demo.serving.queue import FairQueue
from demo.serving.routes import find_route
from demo.serving.states import FairStates

pytest_plugins = ["tests.demo_server"]
pytestmark = pytest.mark.filterwarnings("ignore:::gradio", "ignore:::PIL")


def receive(*chunks):
    """An ASGI `receive` that gives a body in these parts."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def give():
        return messages.pop(0)

    return give


def multipart(*parts, end=b"--x--\r\n"):
    return b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + end


def part(name="files", filename="a.png", content=b"abc"):
    file = f'; filename="{filename}"' if filename is not None else ""
    return f'Content-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content


def read_upload(body, kind="multipart/form-data; boundary=x"):
    return asyncio.run(bodies.read_upload(receive(body), Headers({"content-type": kind})))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/file/x"),
        ("GET", "/gradio_api//file=x"),
        ("GET", "/gradio_api/./info"),
        ("GET", "/assets/../config"),
        ("GET", "/assets/%2e%2e/x"),
        ("GET", "/assets\\x"),
        ("GET", "/assets/a\0"),
        ("GET", "/openapi.json"),
        ("GET", "/gradio_api/openapi.json"),
        ("GET", "/gradio_api/heartbeat/" + "x" * 65),
        ("POST", "/"),
        ("PUT", "/gradio_api/upload"),
        ("GET", "/gradio_api/upload"),
        ("POST", "/gradio_api/run/classify"),
    ],
)
def test_a_path_beside_the_list_has_no_route(method, path):
    assert find_route(method, path) is None


def test_a_route_names_its_parts():
    route, parts = find_route("GET", "/gradio_api/call/v2/classify/abc")
    assert (route.kind, parts) == ("stream", {"name": "classify", "event": "abc"})
    assert find_route("HEAD", "/")[0].kind == "plain"


def test_one_file_is_written_anew_under_a_safe_name():
    file = read_upload(multipart(part(filename="../.e vil\\na me.png")))
    kind, chunks = bodies.write_upload(file)
    body = b"".join(chunks)
    boundary = kind.split(b"boundary=")[1]
    assert b'filename="na_me.png"\r\n\r\nabc\r\n--' + boundary + b"--\r\n" in body


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (multipart(part(), end=b""), "cut short"),
        (multipart(part(), end=b"--"), "cut short"),
        (multipart(part(name="other")), "cut short"),
        (multipart(part(), part()), "not one file"),
        (multipart(part(), part(name="f", filename=None)), "not one file"),
        (multipart(part(name="files", filename=None)), "not one file"),
        (multipart(b"no header"), "not one file"),
        (b"junk", "not one file"),
        (b"", "cut short"),
    ],
)
def test_an_upload_that_is_not_one_whole_file_is_refused(body, message):
    with pytest.raises(HTTPException, match=message) as error:
        read_upload(body)
    assert error.value.status_code == 400


def test_junk_that_is_no_multipart_is_refused():
    with pytest.raises(HTTPException, match="multipart/form-data"):
        read_upload(b"junk", "text/plain")


def test_a_body_that_is_too_long_is_refused_before_it_has_arrived(monkeypatch):
    monkeypatch.setattr(bodies, "MAX_JSON_BYTES", 10)
    with pytest.raises(HTTPException) as error:
        asyncio.run(bodies.read_json(receive(b"x" * 11, b"never read")))
    assert error.value.status_code == 413


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'"x"', b"[" * 100_000, b'{"data": "\\ud800"}', b"\xff"],
)
def test_a_body_that_is_no_json_object_is_refused(body):
    with pytest.raises(HTTPException) as error:
        asyncio.run(bodies.read_json(receive(body)))
    assert error.value.status_code == 400


@pytest.mark.parametrize("session", [1, "x" * 65, "a/b", "", ["x"], "é"])
def test_a_session_that_no_client_chooses_is_refused(session):
    with pytest.raises(HTTPException, match="session hash"):
        asyncio.run(bodies.read_json(receive(json.dumps({"session_hash": session}).encode())))


def test_paths_are_those_of_this_process_however_they_are_written():
    file = folder.own_folder() / "abc" / "a.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x")
    for path in ("/files/abc/a.png", str(file)):
        value = {"data": [[{"path": path, "url": "http://x"}]]}
        bodies.replace_paths(value)
        assert value == {"data": [[{"path": str(file)}]]}
    (file.parent / "link").symlink_to("/etc/passwd")
    for path in (
        "/files/abc/link",
        "/files/abc/../../x",
        "/files/abc",
        "/files/.lock",
        "abc/a.png",
    ):
        with pytest.raises(HTTPException, match="not there"):
            bodies.allowed_path(path)


def test_visitors_of_one_ipv6_network_are_one():
    scopes = [{"client": (host, 1)} for host in ("2001:db8::1", "2001:db8::2:3", "1.2.3.4")]
    assert [address_of(scope) for scope in scopes] == ["2001:db8::/64"] * 2 + ["1.2.3.4"]
    assert address_of({"client": None}) == ""


def test_one_address_cannot_take_what_is_left_for_others():
    share = Concurrent((3, 2), "requests")
    with share.one_more("a"), share.one_more("a"):
        with pytest.raises(HTTPException, match="Too many requests"), share.one_more("a"):
            pass
        with share.one_more("b"), pytest.raises(HTTPException), share.one_more("c"):
            pass
    assert not share.counts


def test_uploads_count_against_their_address_alone_and_not_for_ever(monkeypatch, tmp_path):
    uploads = Uploads(max_age=60)
    monkeypatch.setattr(budgets, "MAX_UPLOADED", 10_000)
    for number in range(2):
        uploads.add(tmp_path / f"{number}", "a", 1)  # of the disk each takes two blocks
    with pytest.raises(HTTPException, match="Too many images"):
        uploads.check("a")
    uploads.check("b")
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    uploads.check("a")
    assert not uploads.files
    assert not uploads.kept


def age(path, seconds):
    os.utime(path, (time.time() - seconds,) * 2)


def test_old_files_of_any_name_are_deleted_and_those_of_the_page_are_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(cleanup, "own_folder", lambda: tmp_path)
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "a.png").touch()
    work = Cleanup(uploads=())
    (tmp_path / "abc").mkdir()
    for name in ("tmp123", "abc/old.png", "new.png"):
        (tmp_path / name).touch()
    for name in ("tmp123", "abc/old.png", "page/a.png"):
        age(tmp_path / name, 1801)
    work.run()
    age(tmp_path / "abc", 1801)
    work.run()
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left == {"page", "page/a.png", "new.png"}


def test_what_was_made_goes_before_what_was_sent_when_there_is_too_much(monkeypatch, tmp_path):
    monkeypatch.setattr(cleanup, "own_folder", lambda: tmp_path)
    sent, made = tmp_path / "sent.png", tmp_path / "made.jpg"
    work = Cleanup(uploads={sent})
    for path in (sent, made):
        path.write_bytes(bytes(8192))
    age(sent, 100)
    monkeypatch.setattr(cleanup, "MAX_BYTES", 8192)
    work.run()
    assert list(tmp_path.iterdir()) == [sent]


def test_folders_of_processes_that_ended_are_deleted_at_the_next_start(tmp_path):
    dead, alive = tmp_path / "demo-dead", tmp_path / "demo-alive"
    for path in (dead, alive):
        path.mkdir()
        (path / "secret.png").touch()
    (dead / folder.LOCK).touch()
    with (alive / folder.LOCK).open("w") as lock:
        assert folder.is_free(lock)
        folder.delete_abandoned(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["demo-alive"]


def test_the_folder_of_a_process_that_is_killed_is_deleted(tmp_path):
    script = "from demo.serving.folder import own_folder; import os; print(own_folder()); "
    process = subprocess.run(
        [sys.executable, "-c", script + "import sys; sys.stdout.flush(); os.kill(os.getpid(), 9)"],
        env=os.environ | {"GRADIO_TEMP_DIR": str(tmp_path / "base")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == -9
    assert process.stdout.startswith(str(tmp_path))
    for _ in range(100):
        if not list((tmp_path / "base").glob("demo-*")):
            return
        time.sleep(0.05)
    raise AssertionError("the folder is still there")


def event(address, session, number=0, age=0.0):
    scope = {"client": (address, 1)}
    return SimpleNamespace(
        _id=f"{address}-{session}-{number}",
        request=SimpleNamespace(scope=scope),
        session_hash=session,
        enqueue_time=time.monotonic() - age + number / 1000,
    )


@pytest.fixture
def fair():
    """A queue with one place, and no server."""
    made = FairQueue(
        live_updates=False,
        concurrency_count=1,
        update_intervals=1,
        blocks=None,
        default_concurrency_limit=1,
    )
    made.event_queue_per_concurrency_id["network"] = SimpleNamespace(
        queue=[], concurrency_limit=1, current_concurrency=0
    )
    return made


def waiting(fair):
    return fair.event_queue_per_concurrency_id["network"].queue


def test_addresses_and_then_sessions_take_turns(fair):
    waiting(fair).extend(event("a", "flood", number) for number in range(5))
    waiting(fair).extend([event("a", "other", 6), event("b", "one", 7)])
    order = [fair.get_events()[0][0] for _ in range(4)]
    assert [each.session_hash for each in order] == ["flood", "one", "other", "flood"]


def test_an_event_that_nobody_listens_for_is_dropped(fair):
    heard, unheard, new = event("a", "x", age=60), event("a", "y", age=60), event("a", "z")
    fair.listeners["x"] += 1
    waiting(fair).extend([unheard, heard, new])
    assert [fair.get_events()[0][0] for _ in range(2)] == [heard, new]
    assert fair.get_events() is None


def test_a_session_has_a_share_of_the_queue(fair):
    for number in range(queue.MAX_OF_SESSION):
        fair.event_ids_to_events[f"{number}"] = event("a", "x", number)
    body = SimpleNamespace(session_hash="x")
    request = SimpleNamespace(scope={"client": ("a", 1)})
    done, message, kind = asyncio.run(fair.push(body, request, None))
    assert (done, kind) == (False, "queue_full")
    assert "Too many of your requests" in message


def test_answers_that_nobody_fetched_are_forgotten(fair):
    for session in ("old", "heard", "new"):
        fair.pending_messages_per_session[session] = asyncio.Queue()
        fair.pending_event_ids_session[session] = {"x"}
        fair.used[session] = time.monotonic() - (0 if session == "new" else 1000)
    fair.listeners["heard"] += 1
    fair.forget_unheard()
    assert set(fair.pending_messages_per_session) == {"heard", "new"}
    assert set(fair.used) == set(fair.pending_event_ids_session) == {"heard", "new"}


def test_many_sessions_of_one_address_lose_their_own_state(page):
    states = FairStates()
    states.set_blocks(page)
    states.capacity = 3
    for session, address in (("mine", "b"), ("1", "a"), ("2", "a"), ("3", "a"), ("4", "a")):
        states.addresses[session] = address
        states[session]
    assert set(states.session_data) == {"mine", "3", "4"}


def test_a_message_that_repeats_is_said_a_few_times(caplog):
    logger = logging.getLogger("asyncio")
    logs.limit_logs()
    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            logger.warning("too many files %d", number)
    assert len(caplog.records) == logs.MAX_REPEATS


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({}, False),
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "same-site"}, True),
        ({"origin": "http://demo:7860", "host": "demo:7860"}, False),
        ({"origin": "http://evil", "host": "demo:7860"}, True),
        ({"origin": "null", "host": "demo:7860"}, True),
        ({"origin": "https://a.hf.space", "host": "x", "x-forwarded-host": "a.hf.space"}, False),
    ],
)
def test_another_site_is_told_by_what_browsers_send(sent, expected):
    assert headers.is_cross_site(Headers(sent)) == expected


@pytest.fixture(scope="module")
def http(url):
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as session:
        yield session


def test_every_answer_has_the_headers_and_no_site_is_reflected(http):
    for path in ("/", "/config", "/nothing", "/gradio_api/info"):
        answer = http.get(path, headers={"origin": "https://evil.example", "host": "demo.example"})
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers
        assert "access-control-allow-credentials" not in answer.headers


def test_other_sites_may_not_upload_or_call(http):
    sent = {"sec-fetch-site": "cross-site"}
    answer = http.post("/gradio_api/upload", files={"files": b"x"}, headers=sent)
    assert answer.status_code == 403
    assert (
        http.post("/gradio_api/call/variants", json={"data": []}, headers=sent).status_code == 403
    )


def test_no_path_of_the_server_is_in_what_the_page_gets(http):
    hidden = str(folder.own_folder().parent)
    for path in ("/", "/config", "/gradio_api/info"):
        assert hidden not in http.get(path).text
    sent = http.post("/gradio_api/upload", files={"files": ("a.png", b"x")}).json()[0]
    assert sent.startswith("/files/")


def test_only_images_are_hosted(http):
    html = http.post("/gradio_api/upload", files={"files": ("a.html", b"<script>")}).json()[0]
    assert http.get(f"/gradio_api/file={html}").status_code == 403
    png = b"\x89PNG\r\n\x1a\n<script>"
    image = http.post("/gradio_api/upload", files={"files": ("a.html", png)}).json()[0]
    answer = http.get(f"/gradio_api/file={image}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.content == png


@pytest.mark.parametrize("name", ["nothing", "ask", "v2/nothing", "look_closer"])
def test_an_unknown_function_is_not_found(http, name):
    assert http.post(f"/gradio_api/call/{name}", json={"data": []}).status_code == 404


@pytest.mark.parametrize("index", [None, -1, 10**9, "1", 1.5, True, []])
def test_an_unknown_number_of_a_function_is_not_found(http, index):
    body = {"data": [], "fn_index": index, "session_hash": "x"}
    for path in ("queue/join", "run/predict"):
        assert http.post(f"/gradio_api/{path}", json=body).status_code == 404


def test_arguments_that_a_function_does_not_have_are_refused(http):
    answer = http.post("/gradio_api/call/v2/classify", json={"picture": None})
    assert (answer.status_code, answer.json()["detail"]) == (422, "There is no argument 'picture'.")


def test_values_of_wrong_types_are_answered_with_words_and_no_traceback(http, page, capfd):
    function = next(each for each in page.fns.values() if each.api_name == "ask")
    for value in (5, [], {"path": None}, "x"):
        body = {"data": [value] * len(function.inputs), "fn_index": function._id}
        body["session_hash"] = f"wrong{type(value).__name__}"
        assert http.post("/gradio_api/queue/join", json=body).status_code == 200
        query = {"session_hash": body["session_hash"]}
        events = http.get("/gradio_api/queue/data", params=query).text.split("\n\n")
        ends = [event for event in events if "process_completed" in event]
        message = json.loads(ends[0].removeprefix("data: "))["output"]["error"]
        assert len(message.split()) > 3  # a sentence, not gradio's "Error"
    assert "Traceback" not in capfd.readouterr().err


def test_a_stream_of_an_unknown_session_ends_at_once(http):
    answer = http.get("/gradio_api/queue/data", params={"session_hash": "unknown"})
    assert json.loads(answer.text.removeprefix("data: "))["session_not_found"]
    assert http.get("/gradio_api/call/classify/unknown").status_code == 404


def connect(url):
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=5)


def test_silent_connections_make_room_for_others(url, http, monkeypatch):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 20)
    silent = [connect(url) for _ in range(60)]
    assert http.get("/gradio_api/app_id").status_code == 200
    time.sleep(0.2)
    assert sum(connections.peers.values()) <= 21
    for each in silent:
        each.close()


def test_headers_that_do_not_end_are_not_waited_for(url, monkeypatch):
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.3)
    with connect(url) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: demo\r\nX: ")
        with contextlib.suppress(ConnectionResetError):
            assert slow.recv(1000) == b""  # closed; if it stays open this times out


def test_no_address_is_fetched_and_no_file_is_read_by_any_spelling(tmp_path):
    command = ["unshare", "-rn", sys.executable, "-m", "tests.attack_addresses", str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    result = json.loads(found.stdout.splitlines()[-1])
    assert result["leaks"] == result["fetched"] == []
    assert set(result["probes"]) <= {"403", "404"}
    assert "Traceback" not in found.stderr
