"""These tests check the demo server's routes, budgets, temporary folder, log and shutdown."""

import asyncio
import logging
import os
import sys
import time
from types import SimpleNamespace

import pytest
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from demo.serving import budgets, folder, log, server
from demo.serving.guard import find_route, is_cross_site

pytestmark = pytest.mark.filterwarnings("ignore:::gradio", "ignore:::PIL")


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
        ("GET", "/monitoring"),
        ("GET", "/gradio_api/heartbeat/" + "x" * 65),
        ("POST", "/"),
        ("PUT", "/gradio_api/upload"),
        ("GET", "/gradio_api/upload"),
        ("POST", "/gradio_api/run/predict"),
    ],
)
def test_a_path_that_is_not_in_the_list_has_no_route(method, path):
    with pytest.raises(HTTPException) as error:
        find_route(method, path)
    assert error.value.status_code == 404


def test_a_route_names_its_parts():
    route = find_route("GET", "/gradio_api/call/classify/abc")
    assert route == ("answers", {"name": "classify", "event": "abc"})
    assert find_route("HEAD", "/")[0] == "plain"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({}, False),
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "same-site"}, True),
        ({"origin": "http://demo:7860", "host": "demo:7860"}, False),
        ({"origin": "http://evil", "host": "demo:7860"}, True),
        ({"origin": "https://a.hf.space", "host": "x", "x-forwarded-host": "a.hf.space"}, False),
    ],
)
def test_a_request_from_another_site_is_recognised_by_its_headers(sent, expected):
    assert is_cross_site(Headers(sent)) == expected


def test_visitors_of_one_ipv6_network_are_one():
    scopes = [{"client": (host, 1)} for host in ("2001:db8::1", "2001:db8::2:3", "1.2.3.4")]
    expected = ["2001:db8::/64"] * 2 + ["1.2.3.4"]
    assert [budgets.address_of(scope) for scope in scopes] == expected
    assert budgets.address_of({"client": None}) == ""


def test_one_address_cannot_take_what_is_left_for_others(monkeypatch):
    monkeypatch.setitem(budgets.SHARES, "uploads", (3, 2))
    one_more = budgets.one_more
    with one_more("uploads", "a"), one_more("uploads", "a"):
        with pytest.raises(HTTPException, match="Too many uploads"), one_more("uploads", "a"):
            pass
        with one_more("uploads", "b"), pytest.raises(HTTPException), one_more("uploads", "c"):
            pass
    assert not budgets.under_way["uploads"]


def test_an_address_that_has_used_too_much_is_refused_alone(monkeypatch):
    monkeypatch.setitem(budgets.used, ("seconds", "a"), 61)
    with pytest.raises(HTTPException, match="too much time"):
        budgets.check("a")
    budgets.check("b")


@pytest.fixture
def own(monkeypatch, tmp_path):
    monkeypatch.setattr(folder, "own_folder", lambda: tmp_path)
    for kind in folder.KEPT:
        (tmp_path / kind).mkdir()
    return tmp_path


def test_old_files_are_deleted_and_those_of_the_page_are_kept(own):
    names = ("page/a.png", "sent/a/old.png", "made/b/old.png", "sent/c/new.png", "made/d/new.png")
    paths = [own / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (time.time() - (1790 if path.name == "new.png" else 1801),) * 2)
    folder.delete_old()
    assert [path.parent.exists() for path in paths] == [True, False, False, True, True]


def test_the_oldest_files_of_a_kind_are_deleted_when_it_takes_too_much_space(own, monkeypatch):
    monkeypatch.setitem(folder.KEPT, "made", 1e6)
    for number in range(4):
        for kind in folder.KEPT:
            path = own / kind / str(number) / "a.png"
            path.parent.mkdir()
            path.write_bytes(bytes(400_000))
            os.utime(path, (time.time() - 100 + number,) * 2)
    folder.delete_old()
    assert len(list((own / "sent").iterdir())) == 4
    assert {path.name for path in (own / "made").iterdir()} == {"2", "3"}


def test_folders_of_processes_that_ended_are_deleted_at_the_next_start(tmp_path):
    for name in ("demo-dead", "demo-alive"):
        (tmp_path / name).mkdir()
        (tmp_path / name / folder.LOCK).touch()
    with (tmp_path / "demo-alive" / folder.LOCK).open("w") as lock:
        folder.fcntl.flock(lock, folder.fcntl.LOCK_EX)
        folder.delete_abandoned(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["demo-alive"]


LONG = f"/files/sent/{'x' * 300}"


@pytest.mark.parametrize(
    "path", ["/files/../x", "/files/.lock", "/files", "/files/sent", "sent/a", LONG]
)
def test_a_path_that_is_no_file_of_visitors_is_not_found(own, path):
    (own / ".lock").touch()
    assert folder.find_file(path) is None
    file = folder.new_folder("sent") / "a.png"
    file.touch()
    assert folder.find_file(f"/files/sent/{file.parent.name}/a.png") == file


def test_the_folder_is_hidden_in_what_is_answered(own):
    answer = ({"path": f"{own}/a.png", "url": f"http://x/gradio_api/file={own}/a.png", "n": 1}, 2)
    masked = {"path": "/files/a.png", "url": "http://x/gradio_api/file=/files/a.png", "n": 1}
    assert folder.mask(answer) == [masked, 2]


def test_no_line_of_code_floods_the_log(caplog, monkeypatch):
    monkeypatch.setattr(log, "seen", log.Counter())
    log.limit()
    for name in ("demo.serving.blocks", "gradio.route_utils", "asyncio"):
        for number in range(20):
            logging.getLogger(name).warning("%s", f"{name} {number} " + "x" * 100_000)
        try:
            raise RuntimeError("y" * 100_000)
        except RuntimeError:
            logging.getLogger(name).exception("Another place")
    assert caplog.messages.count("Another place") == 3
    # Of 60 warnings from one line of code, only MOST are logged. Another line logs 3 errors.
    assert len(caplog.messages) == log.MOST + 3
    assert len(caplog.text) < (log.MOST + 3) * 5000
    # When uvicorn starts, it replaces its loggers' handlers, but keeps the loggers' filters.
    assert log.is_rare in logging.getLogger("uvicorn.error").filters


def test_a_failed_cleanup_does_not_end_the_others(monkeypatch, caplog):
    done = []

    def fail():
        done.append(True)
        raise OSError("the disk is gone")

    async def clean_up():
        task = asyncio.create_task(server.clean_up(SimpleNamespace(forget_unheard=fail)))
        while len(done) < 4 and not task.done():
            await asyncio.sleep(0.01)
        assert task.cancel()

    monkeypatch.setattr(server, "CLEANUP_SECONDS", 1e-3)
    monkeypatch.setattr(server, "delete_old", fail)
    asyncio.run(clean_up())
    assert "the disk is gone" in caplog.text


def test_a_closed_terminal_does_not_prevent_the_exit(monkeypatch, tmp_path):
    def flush():
        raise BrokenPipeError

    ended = []
    stop = SimpleNamespace(wait=lambda: None)
    monkeypatch.setattr(server, "threading", SimpleNamespace(Event=lambda: stop))
    monkeypatch.setattr(server.signal, "signal", lambda *_: None)
    monkeypatch.setattr(server, "launch_options", dict)
    monkeypatch.setattr(server, "own_folder", lambda: tmp_path)
    monkeypatch.setattr(os, "_exit", ended.append)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", SimpleNamespace(flush=flush))
        server.run(SimpleNamespace(launch=lambda **_: None))
    assert ended == [0]
