"""These tests check the answers and restarts of the process that opens visitors' images."""

import asyncio
import errno
import io
import json
import os
import resource
import time
from collections import defaultdict
from io import BytesIO

import pytest
from PIL import Image
from starlette.exceptions import HTTPException

from demo.serving import budgets, decode, decoder, folder
from demo.serving.decoder import Decoder, open_kept
from mobilenetv3_cifar.errors import ImageError
from tests.light_demo import encode, noise, slow_gif


@pytest.fixture
def own(monkeypatch, tmp_path):
    """Let `own_folder()` return a temporary folder, and clear the counts in `budgets.used`."""
    monkeypatch.setattr(folder, "own_folder", lambda: tmp_path)
    monkeypatch.setattr(budgets, "used", defaultdict(float))
    (tmp_path / "sent").mkdir()
    return tmp_path


def visit(*steps):
    """Call each step, an async function, with the same Decoder. Return the steps' results."""

    async def run():
        started = Decoder()
        try:
            return [await step(started) for step in steps]
        finally:
            await started.stop()

    return asyncio.run(run())


def keep(data=None, name="a.png"):
    return lambda started: started.keep(BytesIO(data or encode(noise())), name, "a")


def test_the_process_is_started_again_when_it_was_killed(own, monkeypatch):
    monkeypatch.setattr(decoder, "SECONDS", 3)
    started = time.monotonic()
    _, refused, kept = visit(
        keep(),
        keep(slow_gif(), "../b c.gif"),
        keep(encode(noise((1000, 500)), "JPEG"), ""),
    )
    assert time.monotonic() - started < 12
    assert refused.name == "b_c.png"
    with pytest.raises(ImageError, match="too long"):
        open_kept(refused)
    assert budgets.used["seconds", "a"] > 2
    assert kept.name == "image.jpg"
    assert Image.open(kept).size == (1000, 500)
    assert open_kept(kept).size == (512, 256)
    assert not list((own / "sent").glob("*/.upload"))


@pytest.mark.parametrize("known", [True, False])
def test_the_process_is_started_again_when_it_was_killed_while_idle(own, caplog, known):
    async def kill(started):
        started.process.kill()
        if known:
            await started.process.wait()

    _, _, kept, _ = visit(keep(), kill, keep(), keep())
    assert open_kept(kept).size == (32, 32)
    assert [record.args for record in caplog.records] == [(-9,)]


def test_an_image_that_kills_the_process_twice_is_refused(own, monkeypatch, caplog):
    deadly = own / "deadly.py"
    deadly.write_text("import os; input(); os.abort()")
    monkeypatch.setattr(decode, "__file__", str(deadly))
    with pytest.raises(ImageError, match="too long"):
        open_kept(*visit(keep()))
    assert [record.args for record in caplog.records] == [(-6,)] * 2


def test_a_process_that_cannot_start_is_not_the_image_s_fault(own, monkeypatch, capfd):
    broken = own / "broken.py"
    broken.write_text("raise SystemExit('a module is missing')")
    monkeypatch.setattr(decode, "__file__", str(broken))
    with pytest.raises(HTTPException, match="cannot open images"):
        visit(keep())
    assert "a module is missing" in capfd.readouterr().err
    assert not budgets.used["seconds", "a"]
    assert not list((own / "sent").iterdir())


def test_the_process_has_the_user_s_own_paths_and_no_core_file(own, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    answers = []

    async def look(started):
        process = await started.start()
        answers.append(resource.prlimit(process.pid, resource.RLIMIT_CORE))
        with open(f"/proc/{process.pid}/environ") as file:
            answers.extend(file.read().split("\0"))

    visit(keep(), look)
    assert answers[0] == (0, 0)
    assert f"PYTHONPATH={decoder.ROOT}{os.pathsep}/somewhere" in answers
    assert "MALLOC_ARENA_MAX=1" in answers


def out_of_memory(data):
    raise ImageError("the image is damaged") from MemoryError()


def no_space(data):
    raise OSError(errno.ENOSPC, "no space")


def surprise(data):
    raise AttributeError("a decoder's own mistake")


@pytest.mark.parametrize("platform", ["linux", "darwin"])
@pytest.mark.parametrize(
    ("raises", "reason"),
    [
        (out_of_memory, decode.TOO_COSTLY),
        (no_space, decode.NO_SPACE),
        (surprise, "the image is damaged or cut short"),
    ],
)
def test_the_reason_why_an_image_is_refused(own, monkeypatch, capsys, platform, raises, reason):
    limits = []
    monkeypatch.setattr(decode.resource, "setrlimit", lambda kind, _: limits.append(kind))
    monkeypatch.setattr(decode.os, "dup2", lambda *_: None)
    monkeypatch.setattr(decode.sys, "platform", platform)
    monkeypatch.setattr(decode.sys, "stdin", io.StringIO(f"{own}\n"))
    monkeypatch.setattr(decode, "open_image", raises)
    (own / decode.SENT).touch()
    decode.main()
    assert json.loads(capsys.readouterr().out)[:2] == [None, reason]
    assert limits[0] == resource.RLIMIT_CORE
    assert (resource.RLIMIT_AS in limits) == (platform == "linux")


@pytest.mark.parametrize("full", ["server", "process"])
def test_a_full_disk_is_said_to_be_full_and_leaves_nothing(own, monkeypatch, full):
    async def answer(self, folder):
        return "", decode.NO_SPACE, 0.1

    if full == "server":
        monkeypatch.setattr(decoder.shutil, "copyfileobj", lambda *_: no_space(None))
    else:
        monkeypatch.setattr(Decoder, "ask", answer)
    with pytest.raises(HTTPException, match="lacks disk space"):
        visit(keep())
    assert not list((own / "sent").iterdir())


def test_an_address_that_has_used_up_its_time_is_refused_when_its_turn_comes(own):
    async def use_up(started):
        budgets.used["seconds", "a"] = 61

    with pytest.raises(HTTPException, match="too much time"):
        visit(use_up, keep())
    assert not list((own / "sent").iterdir())
