"""Loading, with the real client, from the Hub of `loopback_hub`."""

import os
import socket
import time
import traceback

import pytest
import torch
from huggingface_hub import constants

from mobilenetv3_cifar import (
    HubError,
    MobileNetV3Cifar,
    ModelFolderError,
    VariantError,
    hub,
)
from mobilenetv3_cifar.download import open_model
from mobilenetv3_cifar.folder import read_folder, write_folder
from tests.hub_fixtures import REPO_ID, tree
from tests.loopback_hub import TOKEN

pytest_plugins = ["tests.hub_fixtures"]


@pytest.mark.parametrize("fault", ["flip", "flip_small"])
def test_a_damaged_download_is_refused_and_leaves_the_cache(loopback, folder, fault):
    hub.push_folder(folder, REPO_ID, token=TOKEN)
    loopback.faults[fault] = 1
    with pytest.raises(ModelFolderError, match="was damaged and is taken out of the cache"):
        MobileNetV3Cifar.from_pretrained(REPO_ID)
    assert MobileNetV3Cifar.from_pretrained(REPO_ID).config.dropout == 0.3


def test_a_short_download_is_refused(loopback, folder):
    hub.push_folder(folder, REPO_ID, token=TOKEN)
    loopback.faults["short"] = 9
    with pytest.raises(
        HubError, match="there is no folder someone/small; loading it from the Hub failed"
    ):
        MobileNetV3Cifar.from_pretrained(REPO_ID)
    loopback.faults.clear()
    assert MobileNetV3Cifar.from_pretrained(REPO_ID).config.dropout == 0.3


def test_a_file_damaged_in_the_cache_is_found(loopback, folder, tmp_path):
    hub.push_folder(folder, REPO_ID, token=TOKEN)
    loaded = MobileNetV3Cifar.from_pretrained(REPO_ID)
    content = bytearray((loaded.folder / "config.json").read_bytes())
    content[content.index(b"airplane")] ^= 1  # still a valid config: only the hash tells
    (loaded.folder / "config.json").resolve().write_bytes(content)
    with pytest.raises(ModelFolderError, match="taken out of the cache"):
        MobileNetV3Cifar.from_pretrained(REPO_ID, local_files_only=True)
    assert MobileNetV3Cifar.from_pretrained(REPO_ID).config == loaded.config


def test_only_config_and_weights_are_downloaded(loopback, folder):
    hub.push_folder(folder, REPO_ID, token=TOKEN)
    loaded = MobileNetV3Cifar.from_pretrained(REPO_ID)
    assert sorted(path.name for path in loaded.folder.iterdir()) == [
        "config.json",
        "model.safetensors",
    ]


def test_a_repository_with_a_pickle_only_is_refused(loopback, folder):
    hub.push_folder(folder, REPO_ID, token=TOKEN)
    files = tree(loopback)
    files["pytorch_model.bin"] = files.pop("model.safetensors")
    loopback.repos[REPO_ID].commit("main", files)
    with pytest.raises(ModelFolderError, match=r"model\.safetensors is missing"):
        MobileNetV3Cifar.from_pretrained(REPO_ID)
    assert not any("pytorch_model.bin" in asked for asked in loopback.requests)


@pytest.mark.parametrize(
    "revision", ["../main", "/etc/passwd", "a/../b", "", "a b", "x\0", "refs/"]
)
def test_a_revision_that_is_none_is_refused_before_it_names_a_file(loopback, revision):
    with pytest.raises(HubError, match="is no branch, tag or commit"):
        MobileNetV3Cifar.from_pretrained(REPO_ID, revision=revision)
    assert loopback.requests == []


def test_a_missing_revision_or_repository_is_named(loopback, folder):
    hub.push_folder(folder, REPO_ID, token=TOKEN)
    for arguments in ({"name": REPO_ID, "revision": "v9"}, {"name": "someone/else"}):
        with pytest.raises(HubError, match="there is no such repository or revision"):
            MobileNetV3Cifar.from_pretrained(**arguments, token=TOKEN)


def test_a_hub_in_trouble_is_said_in_one_line(loopback, folder, monkeypatch):
    hub.push_folder(folder, REPO_ID, token=TOKEN)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    loopback.faults["busy"] = 99
    with pytest.raises(HubError, match=r"the Hub is in trouble: try again.* \(status 503\)$") as it:
        MobileNetV3Cifar.from_pretrained(REPO_ID)
    assert "\n" not in str(it.value)


def test_offline_mode_is_obeyed_and_named(loopback, folder, monkeypatch):
    hub.push_folder(folder, REPO_ID, token=TOKEN)
    MobileNetV3Cifar.from_pretrained(REPO_ID)
    loopback.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert MobileNetV3Cifar.from_pretrained(REPO_ID).config.dropout == 0.3
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        MobileNetV3Cifar.from_pretrained("someone/else")
    assert loopback.requests == []


def test_a_cached_commit_is_loaded_without_asking(loopback, folder):
    hub.push_folder(folder, REPO_ID, token=TOKEN)
    commit = loopback.repos[REPO_ID].refs["main"]
    MobileNetV3Cifar.from_pretrained(REPO_ID, revision=commit)
    loopback.requests.clear()
    assert MobileNetV3Cifar.from_pretrained(REPO_ID, revision=commit).config.dropout == 0.3
    assert loopback.requests == []


def test_a_token_of_the_environment_that_is_none_is_not_printed(loopback, folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_broken\x0bsecret")
    for use in (lambda: hub.push_folder(folder, REPO_ID), lambda: open_model(REPO_ID)):
        with pytest.raises(HubError, match="characters that no token has") as refusal:
            use()
        assert "secret" not in "".join(traceback.format_exception(refusal.value))


def test_a_bare_unknown_name_never_goes_online(loopback):
    with pytest.raises(VariantError, match="no variant is called 'smal'; there are: "):
        MobileNetV3Cifar.from_pretrained("smal")
    assert loopback.requests == []


@pytest.fixture(params=["closed", "silent"])
def unreachable(request, loopback, folder, monkeypatch):
    """A Hub that was there once: its port is closed now, or takes connections and says nothing."""
    hub.push_folder(folder, REPO_ID, token=TOKEN)
    MobileNetV3Cifar.from_pretrained(REPO_ID)
    monkeypatch.setattr(hub, "SECONDS_TO_ANSWER", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if request.param == "silent" else 9
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
        yield


def test_without_the_hub_the_cache_serves_at_once(unreachable, caplog):
    seconds = []
    for _ in range(3):  # the best of three: the machine may be busy
        begin = time.perf_counter()
        assert open_model(REPO_ID).config.dropout == 0.3
        seconds.append(time.perf_counter() - begin)
    assert min(seconds) < 0.5
    assert "someone/small comes from the cache" in caplog.text


def test_without_hub_and_cache_loading_fails_soon_and_says_what_to_do(unreachable):
    begin = time.perf_counter()
    with pytest.raises(
        HubError, match="cannot be reached: check the connection, or load a shipped"
    ):
        MobileNetV3Cifar.from_pretrained("someone/else")
    assert time.perf_counter() - begin < 2  # twice the one second that this test allows the Hub
    with pytest.raises(HubError, match=r"pushing to someone/else failed: .* cannot be reached"):
        MobileNetV3Cifar().push_to_hub("someone/else", token=TOKEN)


def test_local_files_only_asks_nothing_of_the_hub(loopback, folder):
    with pytest.raises(HubError, match="load it once without local_files_only"):
        MobileNetV3Cifar.from_pretrained(REPO_ID, local_files_only=True)
    hub.push_folder(folder, REPO_ID, token=TOKEN)
    MobileNetV3Cifar.from_pretrained(REPO_ID)
    loopback.requests.clear()
    MobileNetV3Cifar.from_pretrained(REPO_ID, local_files_only=True)
    assert loopback.requests == []


def test_eight_processes_share_one_cold_cache(loopback, folder):
    config = read_folder(folder).config
    write_folder(
        folder, config, {"few": torch.arange(5.0)}
    )  # the fork must not need torch's threads
    hub.push_folder(folder, REPO_ID, token=TOKEN)
    pids = []
    for _ in range(8):
        pid = os.fork()
        if pid == 0:
            loaded = open_model(REPO_ID)
            os._exit(0 if loaded.tensors["few"].tolist() == [0, 1, 2, 3, 4] else 1)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 8
