"""These fixtures give each test an empty local Hub and a model folder to push."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
import uvicorn

from mobilenetv3_cifar import MobileNetV3Cifar, push
from mobilenetv3_cifar.card import plain_card
from tests.loopback_hub import TOKEN, LoopbackHub
from tests.loopback_repo import Repo, sha256

REPO_ID = "someone/small"


@pytest.fixture(scope="module")
def server():
    with serve() as running:
        yield running


@pytest.fixture
def loopback(server, monkeypatch, tmp_path):
    """Return an empty local Hub, and make this process's Hub client use it with an empty cache."""
    for value in (server.repos, server.blobs, server.faults, server.requests, server.tokens_at_cdn):
        value.clear()
    server.headers, server.malformed = {}, None
    point_client_at(server, monkeypatch, tmp_path)
    return server


@pytest.fixture
def folder(tmp_path):
    """Create a model folder with a card, metrics, and stray files that must not be pushed."""
    path = tmp_path / "folder"
    model = MobileNetV3Cifar(dropout=0.3).half()  # half the bytes to send
    model.save_pretrained(path)
    (path / "README.md").write_text(plain_card(model.config, REPO_ID), encoding="utf-8")
    (path / "metrics.json").write_text('{"name": "small"}')
    (path / "seeds").mkdir()
    (path / "seeds" / "1.json").write_text("{}")
    for stray in (".env", "token", ".model.safetensors.0123.partial", "step-000001.safetensors"):
        (path / stray).write_text("secret")
    return path


@pytest.fixture
def pushed(loopback, folder):
    """Return the local Hub with the files of `folder` in the repository REPO_ID."""
    files = {name: (folder / name).read_bytes() for name in push.files_to_push(folder)}
    loopback.blobs |= {sha256(content): content for content in files.values()}
    loopback.repos[REPO_ID] = Repo()
    loopback.repos[REPO_ID].commit("main", files, "Pushed", push.SENT + ", ".join(files))
    return loopback


def tree(server: LoopbackHub, repo_id: str = REPO_ID, ref: str = "main") -> dict[str, bytes]:
    repo = server.repos[repo_id]
    return repo.commits[repo.refs[ref]]


def send(folder, **options):
    return push.push_folder(folder, REPO_ID, token=TOKEN, **options)


@contextlib.contextmanager
def serve() -> Iterator[LoopbackHub]:
    """Run a Hub on 127.0.0.1 and its CDN on 127.0.0.2, at the same port, during a `with` block."""
    hub_socket = socket.create_server(("127.0.0.1", 0))
    port = hub_socket.getsockname()[1]
    cdn_socket = socket.create_server(("127.0.0.2", port))
    hub = LoopbackHub(port)
    server = uvicorn.Server(uvicorn.Config(hub.app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([hub_socket, cdn_socket],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield hub
    server.should_exit = True
    thread.join()


def point_client_at(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make this process's Hub client send requests to `hub`, and keep its cache in `folder`."""
    for name, value in {
        "ENDPOINT": hub.endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_CACHE": str(folder / "cache"),
        "HF_TOKEN_PATH": str(folder / "no-token"),
    }.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)
