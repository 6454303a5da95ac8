"""These tests load models with huggingface_hub from a local server, a `LoopbackHub`."""

import os
import socket
import time
import traceback

import pytest
import torch
from huggingface_hub import constants, snapshot_download

from mobilenetv3_cifar import (
    HubError,
    MobileNetV3Cifar,
    ModelFolderError,
    VariantError,
    hub,
    list_variants,
    push,
)
from mobilenetv3_cifar.download import open_model
from mobilenetv3_cifar.folder import read_folder, write_folder
from tests.hub_fixtures import REPO_ID, tree
from tests.loopback_hub import TOKEN

pytest_plugins = ["tests.hub_fixtures"]


def load(name=REPO_ID, **options):
    return MobileNetV3Cifar.from_pretrained(name, **options)


def test_only_config_and_weights_are_downloaded_into_the_hub_clients_cache(pushed, folder):
    loaded, original = load(), load(folder)
    assert loaded.config == original.config
    inputs = torch.randn(1, 3, 64, 64)
    assert torch.equal(loaded(inputs), original(inputs))
    assert {path.name for path in loaded.folder.iterdir()} == {"config.json", "model.safetensors"}
    assert pushed.tokens_at_cdn == []
    assert snapshot_download(REPO_ID) == str(loaded.folder)


@pytest.mark.parametrize("fault", ["flip", "flip_small", "short"])
def test_a_download_damaged_on_its_way_is_repeated(pushed, fault, caplog):
    pushed.faults[fault] = 1
    if fault == "short":  # huggingface_hub notices missing bytes and raises an error
        with pytest.raises(HubError, match="loading someone/small from the Hub failed"):
            load()
    assert load().config.dropout == 0.3
    assert fault == "short" or "the model is downloaded again" in caplog.text


@pytest.mark.parametrize("revision", [None, "its commit"])
def test_a_file_damaged_in_the_cache_is_found_and_downloaded_again(pushed, revision):
    revision = revision and pushed.repos[REPO_ID].refs["main"]
    loaded = load(revision=revision)
    content = bytearray((loaded.folder / "config.json").read_bytes())
    content[content.index(b"airplane")] ^= 1  # still a valid config, but config_sha256 is wrong
    (loaded.folder / "config.json").write_bytes(content)
    with pytest.raises(ModelFolderError, match="damaged or edited"):
        load(revision=revision, local_files_only=True)
    assert load(revision=revision).config == loaded.config
    load(revision=revision, local_files_only=True)


def test_a_cache_that_cannot_be_written_loads_without_caching(pushed, tmp_path, caplog):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert load().config.dropout == 0.3
    assert "not cached" in caplog.text


def test_a_password_in_the_endpoint_is_not_printed(pushed, folder, monkeypatch, caplog):
    address = pushed.endpoint.removeprefix("http://")
    for endpoint in (f"http://me:secret@{address}", "http://me:secret@127.0.0.1:9"):
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        for use in (
            lambda: load("someone/else"),
            lambda: push.push_folder(folder, "forbidden/small", token=TOKEN),
        ):
            with pytest.raises(HubError) as refusal:
                use()
            output = "".join(traceback.format_exception(refusal.value)) + caplog.text
            assert "secret" not in output


def test_a_shipped_variant_or_a_folder_has_no_revision(folder):
    for name in (list_variants()[0].name, folder):
        with pytest.raises(ValueError, match="revision is for repositories on the Hub"):
            load(name, revision="main")


def test_a_repository_with_a_pickle_only_is_refused(pushed):
    files = tree(pushed)
    files["pytorch_model.bin"] = files.pop("model.safetensors")
    pushed.repos[REPO_ID].commit("main", files)
    with pytest.raises(ModelFolderError, match=r"model\.safetensors is missing in someone/small"):
        load()
    assert not any("pytorch_model.bin" in asked for asked in pushed.requests)


@pytest.mark.parametrize(
    "revision", ["../main", "/etc/passwd", "a/../b", "", "a b", "x\0", "refs/"]
)
def test_an_invalid_revision_is_refused_before_any_request(loopback, revision):
    with pytest.raises(HubError, match="is not a branch, tag or commit"):
        load(revision=revision)
    assert loopback.requests == []


def test_a_missing_revision_or_repository_is_named(pushed):
    for arguments in ({"name": REPO_ID, "revision": "v9"}, {"name": "someone/else"}):
        with pytest.raises(HubError, match="repository or revision not found"):
            load(**arguments, token=TOKEN)


def test_a_private_repository_needs_the_token(loopback, folder):
    push.push_folder(folder, REPO_ID, token=TOKEN, private=True)
    with pytest.raises(HubError, match="it is private and needs a token"):
        load()
    assert load(token=TOKEN).config.dropout == 0.3
    assert loopback.tokens_at_cdn == []


def test_a_server_error_is_explained_in_one_line(pushed, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    pushed.faults["busy"] = 99
    with pytest.raises(HubError, match=r"returned a server error: retry.* \(status 503\)$"):
        load()


def test_offline_mode_is_obeyed_and_named(pushed, monkeypatch):
    load()
    pushed.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert load().config.dropout == 0.3
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        load("someone/else")
    assert pushed.requests == []


def test_a_cached_commit_is_loaded_without_asking(pushed):
    commit = pushed.repos[REPO_ID].refs["main"]
    load(revision=commit)
    pushed.requests.clear()
    assert load(revision=commit).config.dropout == 0.3
    assert pushed.requests == []


def test_local_files_only_asks_nothing_of_the_hub(pushed):
    with pytest.raises(HubError, match="load it once without local_files_only"):
        load(local_files_only=True)
    load()
    pushed.requests.clear()
    load(local_files_only=True)
    assert pushed.requests == []


def test_an_invalid_token_in_the_environment_is_not_printed(loopback, folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_broken\x0bsecret")
    for use in (lambda: push.push_folder(folder, REPO_ID), lambda: open_model(REPO_ID)):
        with pytest.raises(HubError, match="invalid characters") as refusal:
            use()
        assert "secret" not in "".join(traceback.format_exception(refusal.value))


def test_a_bare_unknown_name_never_goes_online(loopback):
    with pytest.raises(VariantError, match="unknown variant 'smal'; shipped: "):
        load("smal")
    assert loopback.requests == []


@pytest.mark.parametrize("kind", ["closed", "silent"])
def test_a_hub_that_does_not_answer(pushed, monkeypatch, caplog, kind):
    """If the Hub's port is closed or silent, cached models load fast and other loads fail fast."""
    load()
    monkeypatch.setattr(hub, "SECONDS_TO_ANSWER", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if kind == "silent" else 9
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
        seconds = []
        for _ in range(3):  # only the fastest load counts, because the machine may be busy
            started = time.perf_counter()
            assert open_model(REPO_ID).config.dropout == 0.3
            seconds.append(time.perf_counter() - started)
        assert min(seconds) < 0.6  # the wait for the Hub ends after 0.4 s
        assert "someone/small is loaded from the cache" in caplog.text
        started = time.perf_counter()
        with pytest.raises(HubError, match=r"cannot be reached: check the connection$"):
            load("someone/else")
        assert time.perf_counter() - started < 2  # twice the SECONDS_TO_ANSWER above


def test_eight_processes_share_one_cold_cache(loopback, folder):
    config = read_folder(folder).config
    # Forked processes must not use torch's threads. For a tensor this small, torch uses none.
    write_folder(folder, config, {"few": torch.arange(5.0)})
    push.push_folder(folder, REPO_ID, token=TOKEN)
    pids = []
    for _ in range(8):
        pid = os.fork()
        if pid == 0:
            try:
                assert open_model(REPO_ID).tensors["few"].tolist() == [0, 1, 2, 3, 4]
                os._exit(0)
            finally:  # otherwise, the forked process would go on with pytest's other tests
                traceback.print_exc()
                os._exit(1)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 8
