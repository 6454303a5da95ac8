"""These tests push model folders with huggingface_hub to a local server, a `LoopbackHub`."""

import contextlib
import dataclasses
import json
import os
import shutil
import time
import traceback

import onnx
import pytest
import torch

from mobilenetv3_cifar import HubError, MobileNetV3Cifar, ModelFolderError, list_variants, push
from mobilenetv3_cifar.config import read_config
from mobilenetv3_cifar.onnx_metadata import metadata
from tests.hub_fixtures import REPO_ID, send, tree
from tests.loopback_hub import TOKEN

pytest_plugins = ["tests.hub_fixtures"]


def test_a_shipped_variant_is_pushed_whole_and_loads_back(loopback):
    shipped = MobileNetV3Cifar.from_pretrained(list_variants()[0].name)
    shipped.push_to_hub(REPO_ID, token=TOKEN)
    files = [path for path in shipped.folder.rglob("*") if path.is_file()]
    expected = {path.relative_to(shipped.folder).as_posix(): path.read_bytes() for path in files}
    assert expected.keys() >= {"README.md", "metrics.json", "curves.png"}
    assert tree(loopback) == {".gitattributes": tree(loopback)[".gitattributes"]} | expected
    inputs = torch.randn(2, 3, 224, 224)
    assert torch.equal(MobileNetV3Cifar.from_pretrained(REPO_ID)(inputs), shipped(inputs))


def test_only_allowed_files_are_pushed_and_a_second_push_makes_no_commit(loopback, folder):
    first = send(folder)
    pushed = tree(loopback)
    pushed = {path: content for path, content in pushed.items() if path != ".gitattributes"}
    names = ["README.md", "config.json", "metrics.json", "model.safetensors", "seeds/1.json"]
    assert sorted(pushed) == names == push.files_to_push(folder)
    assert pushed == {name: (folder / name).read_bytes() for name in pushed}
    assert send(folder) == first
    assert len(loopback.repos[REPO_ID].commits) == 2  # the initial commit and the first push


def test_an_unchanged_network_is_pushed_with_its_card_and_measurements(pushed, folder):
    before = tree(pushed)
    loaded = MobileNetV3Cifar.from_pretrained(REPO_ID)
    loaded.push_to_hub(REPO_ID, token=TOKEN)
    assert tree(pushed) == before
    assert len(pushed.repos[REPO_ID].commits) == 1
    for model in (loaded, MobileNetV3Cifar.from_pretrained(folder)):
        pushed.repos.pop("someone/copy", None)
        model.push_to_hub("someone/copy", token=TOKEN)
        copy = tree(pushed, "someone/copy")
        assert {name: copy[name] for name in before} == before


def unwritable(cache):
    shutil.rmtree(cache / ".locks")
    (cache / ".locks").write_text("a file where the folder should be")


@pytest.mark.parametrize("spoil", [unwritable, shutil.rmtree])
def test_the_card_is_pushed_too_without_a_usable_cache(pushed, tmp_path, spoil):
    loaded = MobileNetV3Cifar.from_pretrained(REPO_ID)
    spoil(tmp_path / "cache")
    loaded.push_to_hub("someone/copy", token=TOKEN)
    copy = tree(pushed, "someone/copy")
    assert {name: copy[name] for name in tree(pushed)} == tree(pushed)


def onnx_file(config, sha256):
    model = onnx.ModelProto()
    onnx.helper.set_model_props(model, metadata(config, sha256))
    return model.SerializeToString()


def test_measurements_and_exports_of_other_weights_are_not_pushed(loopback, folder):
    config, sha256 = read_config(folder)
    other = dataclasses.replace(config, temperature=1.05)  # the text "1.05" begins with "1.0"
    for weights in ({"sha256": "0" * 64}, {"sha256": sha256, "config_sha256": "0" * 64}):
        (folder / "metrics.json").write_text(json.dumps({"weights": weights}))
        with pytest.raises(ModelFolderError, match=r"metrics\.json was measured with other"):
            send(folder)
    (folder / "metrics.json").write_text(json.dumps({"weights": {"sha256": sha256}}))
    for settings, weights in ((config, "0" * 64), (other, sha256)):
        (folder / "model.onnx").write_bytes(onnx_file(settings, weights))
        with pytest.raises(ModelFolderError, match=r"model\.onnx was exported from other"):
            send(folder)
    assert loopback.requests == []
    (folder / "model.onnx").write_bytes(onnx_file(config, sha256))
    send(folder)
    assert "model.onnx" in tree(loopback)


def test_a_changed_network_gets_a_plain_card_and_drops_former_measurements(pushed, folder):
    model = MobileNetV3Cifar.from_pretrained(folder)
    with torch.no_grad():
        model.head[3].bias[0] += 1
    model.push_to_hub(REPO_ID, token=TOKEN)
    assert not tree(pushed).keys() & {"metrics.json", "seeds/1.json"}
    assert "pushed without measurements" in " ".join(tree(pushed)["README.md"].decode().split())
    loaded = MobileNetV3Cifar.from_pretrained(REPO_ID)
    assert torch.equal(loaded.head[3].bias, model.head[3].bias)


def test_files_added_or_edited_after_a_push_of_ours_stay(pushed):
    mine = {"metrics.json": b"edited", "curves.png": b"added", "notes.txt": b"added"}
    pushed.repos[REPO_ID].commit("main", tree(pushed) | mine)
    MobileNetV3Cifar().push_to_hub(REPO_ID, token=TOKEN)
    after = tree(pushed)
    assert {name: after[name] for name in mine} == mine
    assert "seeds/1.json" not in after  # part of the previous push, so this push deleted it


def test_planning_a_push_sends_nothing(loopback, folder, tmp_path):
    plan = push.plan_push(folder, REPO_ID, TOKEN)
    assert plan.sent == push.files_to_push(folder)
    assert (plan.kept, plan.deleted, plan.card_is_merged) == ([], [], False)
    assert REPO_ID not in loopback.repos
    send(folder)
    (folder / "metrics.json").unlink()
    loopback.requests.clear()
    assert push.plan_push(folder, REPO_ID, TOKEN).deleted == ["metrics.json"]
    assert not [asked for asked in loopback.requests if asked.startswith("POST")]
    assert not (tmp_path / "cache").exists()


def test_a_network_or_folder_that_would_not_load_is_not_pushed(loopback, folder):
    model = MobileNetV3Cifar.from_pretrained(folder)
    model.head[3] = torch.nn.Conv2d(1280, 5, 1)
    with pytest.raises(ModelFolderError, match="this network's layers differ"):
        model.push_to_hub(REPO_ID, token=TOKEN)
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelFolderError, match=r"its SHA-256 is not the one in config\.json"):
        send(folder)
    with pytest.raises(ModelFolderError, match="is not the one in config"):
        push.check(folder, REPO_ID, "a token with spaces")
    assert loopback.requests == []


@pytest.mark.parametrize("name", ["README.md", "metrics.json"])
def test_a_pipe_in_a_folder_is_not_waited_for(loopback, folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with contextlib.suppress(ModelFolderError):
        send(folder)
    assert REPO_ID not in loopback.repos or name not in tree(loopback)


def test_a_pull_request_leaves_main_alone(pushed, folder):
    (folder / "metrics.json").write_text('{"name": "other"}')
    url = send(folder, create_pr=True)
    assert url == f"{pushed.endpoint}/{REPO_ID}/discussions/1"
    assert tree(pushed)["metrics.json"] == b'{"name": "small"}'
    assert tree(pushed, ref="refs/pr/1")["metrics.json"] == b'{"name": "other"}'


@pytest.mark.parametrize(
    ("repo_id", "token", "advice"),
    [
        (REPO_ID, "hf_wrongwrongwrong", r"log in with `hf auth login`"),
        ("forbidden/small", TOKEN, r"needs write access to the owner's repositories"),
        ("no-owner", TOKEN, r"'no-owner' is not a repository id: it must be owner/name"),
        ("../up", TOKEN, r"'../up' is not a repository id"),
        (REPO_ID, "hf_broken\nsecret", r"the token contains invalid characters"),
    ],
)
def test_a_refused_push_says_what_to_do_and_never_the_token(
    loopback, folder, repo_id, token, advice, caplog, capfd
):
    with pytest.raises(HubError, match=advice) as refusal:
        push.push_folder(folder, repo_id, token=token)
    output = "".join([*traceback.format_exception(refusal.value), caplog.text, *capfd.readouterr()])
    assert not any(part in output for part in token.splitlines())


def test_a_failed_upload_is_retried(loopback, folder, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    loopback.faults["put_500"] = 1
    send(folder)
    assert tree(loopback)["model.safetensors"] == (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize(("fault", "commits"), [("commit_500", 1), ("commit_lost", 2)])
def test_a_commit_without_an_answer_can_be_pushed_again(loopback, folder, fault, commits):
    loopback.faults[fault] = 1
    with pytest.raises(HubError, match="repeating a push that succeeded is safe"):
        send(folder)
    assert len(loopback.repos[REPO_ID].commits) == commits
    send(folder)
    assert len(loopback.repos[REPO_ID].commits) == 2


def test_a_push_is_refused_if_the_repository_changes_meanwhile(pushed, folder, monkeypatch):
    (folder / "metrics.json").write_text("{}")
    real = push.merge_cards

    def meanwhile(*cards):
        pushed.repos[REPO_ID].commit("main", {**tree(pushed), "other.txt": b"x"})
        return real(*cards)

    monkeypatch.setattr(push, "merge_cards", meanwhile)
    with pytest.raises(HubError, match="the repository changed meanwhile: push again"):
        send(folder)
