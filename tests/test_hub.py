"""Loading, with the real client, from the Hub of `loopback_hub`."""

import contextlib
import os
import socket
import time
import traceback

import pytest
import torch
from huggingface_hub import constants, hf_hub_download, scan_cache_dir, snapshot_download

from mobilenetv3_cifar import (
    HubError,
    MobileNetV3Cifar,
    ModelFolderError,
    VariantError,
    fetch,
    hub,
    list_variants,
    push,
)
from mobilenetv3_cifar.download import open_model
from mobilenetv3_cifar.folder import read_folder, write_folder
from tests.hub_fixtures import REPO_ID, tree
from tests.loopback_hub import TOKEN

pytest_plugins = ["tests.hub_fixtures"]


@pytest.mark.parametrize("fault", ["flip", "flip_small"])
def test_a_download_damaged_on_its_way_is_refused_and_not_kept(loopback, folder, tmp_path, fault):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    loopback.faults[fault] = 1
    with pytest.raises(ModelFolderError, match="was damaged on its way from the Hub"):
        MobileNetV3Cifar.from_pretrained(REPO_ID)
    assert not (tmp_path / "cache").exists()
    assert MobileNetV3Cifar.from_pretrained(REPO_ID).config.dropout == 0.3


def test_a_short_download_is_refused(loopback, folder):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    loopback.faults["short"] = 9
    with pytest.raises(
        HubError, match="there is no folder someone/small; loading it from the Hub failed"
    ):
        MobileNetV3Cifar.from_pretrained(REPO_ID)
    loopback.faults["short"] = 2
    assert MobileNetV3Cifar.from_pretrained(REPO_ID).config.dropout == 0.3


@pytest.mark.parametrize("revision", [None, "its commit"])
def test_a_file_damaged_in_the_cache_is_found_and_downloaded_again(loopback, folder, revision):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    revision = revision and loopback.repos[REPO_ID].refs["main"]
    loaded = MobileNetV3Cifar.from_pretrained(REPO_ID, revision=revision)
    content = bytearray((loaded.folder / "config.json").read_bytes())
    content[content.index(b"airplane")] ^= 1  # still a valid config: only the hash tells
    (loaded.folder / "config.json").write_bytes(content)
    with pytest.raises(ModelFolderError, match="damaged or edited"):
        MobileNetV3Cifar.from_pretrained(REPO_ID, revision=revision, local_files_only=True)
    again = MobileNetV3Cifar.from_pretrained(REPO_ID, revision=revision)
    assert again.config == loaded.config
    MobileNetV3Cifar.from_pretrained(REPO_ID, revision=revision, local_files_only=True)


def test_the_cache_is_that_of_the_hubs_client(loopback, folder):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    theirs = snapshot_download(REPO_ID)
    loopback.requests.clear()
    loaded = MobileNetV3Cifar.from_pretrained(REPO_ID)
    assert str(loaded.folder) == theirs
    assert not [asked for asked in loopback.requests if asked.startswith("GET")]
    push.push_folder(folder, "someone/other", token=TOKEN)
    ours = MobileNetV3Cifar.from_pretrained("someone/other").folder
    assert hf_hub_download("someone/other", "config.json") == str(ours / "config.json")
    assert scan_cache_dir(ours.parents[2]).warnings == []


def test_a_cache_that_cannot_be_written_is_no_obstacle(loopback, folder, tmp_path, caplog):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert MobileNetV3Cifar.from_pretrained(REPO_ID).config.dropout == 0.3
    assert "not cached" in caplog.text


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"../../../../../evil"', "X-Linked-Etag": "../../../../../evil"},
        {"ETag": '"/tmp/evil"'},
        {"ETag": "W/"},
    ],
)
def test_no_header_becomes_a_file_name(loopback, folder, tmp_path, headers):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    before = files_below(tmp_path)
    loopback.headers = headers
    loaded = MobileNetV3Cifar.from_pretrained(REPO_ID)
    commit = loopback.repos[REPO_ID].refs["main"]
    assert {
        path.relative_to(tmp_path / "cache/models--someone--small").as_posix()
        for path in files_below(tmp_path) - before
    } == {
        "refs/main",
        f"snapshots/{commit}/config.json",
        f"snapshots/{commit}/model.safetensors",
    }
    assert loaded.config.dropout == 0.3


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Repo-Commit": "../../../../evil"},
        {"X-Repo-Commit": ""},
        {"Location": "http://["},
        {"ETag": ""},
    ],
)
def test_an_answer_that_is_not_the_hubs_is_a_hub_error(loopback, folder, tmp_path, headers):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    before = files_below(tmp_path)
    loopback.headers = headers
    with contextlib.suppress(HubError):
        MobileNetV3Cifar.from_pretrained(REPO_ID)
    assert not [path for path in files_below(tmp_path) - before if "evil" in str(path)]


@pytest.mark.parametrize("malformed", ["[]", "{}", '{"id": 3, "siblings": [{}]}', "null", "{", ""])
def test_a_malformed_answer_to_a_push_is_a_hub_error(loopback, folder, malformed):
    loopback.malformed = malformed
    with pytest.raises(HubError, match="pushing to someone/small failed: ") as refusal:
        push.push_folder(folder, REPO_ID, token=TOKEN)
    assert str(refusal.value).isprintable()


def test_a_download_without_an_end_is_stopped_at_its_budget_of_bytes(loopback, folder):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    loopback.faults["endless"] = 1
    with pytest.raises(ModelFolderError, match="sent more than 1048576 bytes"):
        MobileNetV3Cifar.from_pretrained(REPO_ID)


def test_a_size_over_the_budget_is_refused_before_the_download(loopback, folder):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    loopback.headers = {"X-Linked-Size": str(3 * 2**30)}
    with pytest.raises(ModelFolderError, match="on the Hub is refused: larger than"):
        MobileNetV3Cifar.from_pretrained(REPO_ID)
    assert "GET /cdn" not in loopback.requests


@pytest.mark.parametrize(("grace", "whole"), [(0.3, 60.0), (60.0, 0.3)])
def test_a_drip_is_not_awaited(loopback, folder, monkeypatch, grace, whole):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    monkeypatch.setattr(fetch, "GRACE_SECONDS", grace)
    monkeypatch.setattr(fetch, "SECONDS_TO_DOWNLOAD", whole)
    loopback.headers = {"X-Linked-Etag": "none"}
    loopback.faults["drip"] = 1
    begin = time.perf_counter()
    with pytest.raises(
        HubError, match=r"bytes arrived in|no complete answer arrived within 0\.3 s"
    ):
        MobileNetV3Cifar.from_pretrained(REPO_ID)
    assert time.perf_counter() - begin < 5


def test_a_password_in_the_endpoint_is_not_printed(loopback, folder, monkeypatch, caplog):
    address = loopback.endpoint.removeprefix("http://")
    for endpoint in (f"http://me:secret@{address}", "http://me:secret@127.0.0.1:9"):
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        for use in (
            lambda: MobileNetV3Cifar.from_pretrained("someone/else"),
            lambda: push.push_folder(folder, "forbidden/small", token=TOKEN),
        ):
            with pytest.raises(HubError) as refusal:
                use()
            said = "".join(traceback.format_exception(refusal.value)) + caplog.text
            assert "secret" not in said


def test_a_shipped_variant_or_a_folder_has_no_revision(folder):
    for name in (list_variants()[0].name, folder):
        with pytest.raises(ValueError, match="revision is for repositories on the Hub"):
            MobileNetV3Cifar.from_pretrained(name, revision="main")


def files_below(folder):
    return {path for path in folder.rglob("*") if path.is_file() and path.name != "CACHEDIR.TAG"}


def test_only_config_and_weights_are_downloaded(loopback, folder):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    loaded = MobileNetV3Cifar.from_pretrained(REPO_ID)
    assert sorted(path.name for path in loaded.folder.iterdir()) == [
        "config.json",
        "model.safetensors",
    ]


def test_a_repository_with_a_pickle_only_is_refused(loopback, folder):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    files = tree(loopback)
    files["pytorch_model.bin"] = files.pop("model.safetensors")
    loopback.repos[REPO_ID].commit("main", files)
    with pytest.raises(ModelFolderError, match=r"model\.safetensors is missing in someone/small"):
        MobileNetV3Cifar.from_pretrained(REPO_ID)
    assert not any("pytorch_model.bin" in asked for asked in loopback.requests)


@pytest.mark.parametrize(
    "revision", ["../main", "/etc/passwd", "a/../b", "", "a b", "x\0", "refs/"]
)
def test_a_revision_that_is_not_one_is_refused_before_it_names_a_file(loopback, revision):
    with pytest.raises(HubError, match="is not a branch, tag or commit"):
        MobileNetV3Cifar.from_pretrained(REPO_ID, revision=revision)
    assert loopback.requests == []


def test_a_missing_revision_or_repository_is_named(loopback, folder):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    for arguments in ({"name": REPO_ID, "revision": "v9"}, {"name": "someone/else"}):
        with pytest.raises(HubError, match="there is no such repository or revision"):
            MobileNetV3Cifar.from_pretrained(**arguments, token=TOKEN)


def test_a_hub_in_trouble_is_said_in_one_line(loopback, folder, monkeypatch):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    loopback.faults["busy"] = 99
    with pytest.raises(HubError, match=r"returned a server error; retry.* \(status 503\)$") as it:
        MobileNetV3Cifar.from_pretrained(REPO_ID)
    assert "\n" not in str(it.value)


def test_offline_mode_is_obeyed_and_named(loopback, folder, monkeypatch):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    MobileNetV3Cifar.from_pretrained(REPO_ID)
    loopback.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert MobileNetV3Cifar.from_pretrained(REPO_ID).config.dropout == 0.3
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        MobileNetV3Cifar.from_pretrained("someone/else")
    assert loopback.requests == []


def test_a_cached_commit_is_loaded_without_asking(loopback, folder):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    commit = loopback.repos[REPO_ID].refs["main"]
    MobileNetV3Cifar.from_pretrained(REPO_ID, revision=commit)
    loopback.requests.clear()
    assert MobileNetV3Cifar.from_pretrained(REPO_ID, revision=commit).config.dropout == 0.3
    assert loopback.requests == []


def test_a_token_of_the_environment_that_is_none_is_not_printed(loopback, folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_broken\x0bsecret")
    for use in (lambda: push.push_folder(folder, REPO_ID), lambda: open_model(REPO_ID)):
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
    push.push_folder(folder, REPO_ID, token=TOKEN)
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
    assert min(seconds) < 0.6  # of which 0.4 are for the Hub to answer
    assert "someone/small is loaded from the cache" in caplog.text


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
    push.push_folder(folder, REPO_ID, token=TOKEN)
    MobileNetV3Cifar.from_pretrained(REPO_ID)
    loopback.requests.clear()
    MobileNetV3Cifar.from_pretrained(REPO_ID, local_files_only=True)
    assert loopback.requests == []


def test_eight_processes_share_one_cold_cache(loopback, folder):
    config = read_folder(folder).config
    write_folder(
        folder, config, {"few": torch.arange(5.0)}
    )  # the fork must not need torch's threads
    push.push_folder(folder, REPO_ID, token=TOKEN)
    pids = []
    for _ in range(8):
        pid = os.fork()
        if pid == 0:
            loaded = open_model(REPO_ID)
            os._exit(0 if loaded.tensors["few"].tolist() == [0, 1, 2, 3, 4] else 1)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 8
