"""Pushing, with the real client, to the Hub of `loopback_hub`."""

import contextlib
import json
import os
import subprocess
import sys
import time
import traceback

import pytest
import torch
from huggingface_hub import ModelCard

from mobilenetv3_cifar import (
    HubError,
    MobileNetV3Cifar,
    ModelFolderError,
    list_variants,
    push,
)
from tests.hub_fixtures import REPO_ID, tree
from tests.loopback_hub import TOKEN, Repo

pytest_plugins = ["tests.hub_fixtures"]


def test_a_pushed_folder_loads_back_with_equal_logits_in_a_fresh_process(
    loopback, folder, tmp_path
):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    script = (
        "import torch; from mobilenetv3_cifar import MobileNetV3Cifar;"
        f"model = MobileNetV3Cifar.from_pretrained({REPO_ID!r});"
        "torch.manual_seed(1); print(model(torch.randn(1, 3, 64, 64)).tolist())"
    )
    environment = os.environ | {
        "HF_ENDPOINT": loopback.endpoint,
        "HF_HOME": str(tmp_path / "empty"),
        "HF_HUB_DISABLE_XET": "1",
    }
    fresh = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    torch.manual_seed(1)
    expected = MobileNetV3Cifar.from_pretrained(folder)(torch.randn(1, 3, 64, 64)).tolist()
    assert json.loads(fresh.stdout) == expected


def test_a_shipped_variant_is_pushed_whole_and_loads_back(loopback):
    shipped = MobileNetV3Cifar.from_pretrained(list_variants()[0].name)
    shipped.push_to_hub(REPO_ID, token=TOKEN)
    files = [path for path in shipped.folder.rglob("*") if path.is_file()]
    expected = {path.relative_to(shipped.folder).as_posix(): path.read_bytes() for path in files}
    assert expected.keys() >= {"README.md", "metrics.json", "curves.png"}
    assert tree(loopback) == {".gitattributes": tree(loopback)[".gitattributes"]} | expected
    inputs = torch.randn(2, 3, 224, 224)
    assert torch.equal(MobileNetV3Cifar.from_pretrained(REPO_ID)(inputs), shipped(inputs))


def test_only_the_listed_files_are_pushed(loopback, folder):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    pushed = tree(loopback)
    pushed.pop(".gitattributes")
    assert sorted(pushed) == [
        "README.md",
        "config.json",
        "metrics.json",
        "model.safetensors",
        "seeds/1.json",
    ]
    assert sorted(pushed) == push.files_to_push(folder)
    assert pushed == {name: (folder / name).read_bytes() for name in pushed}


def test_pushing_the_same_again_makes_no_commit(loopback, folder):
    first = push.push_folder(folder, REPO_ID, token=TOKEN)
    assert push.push_folder(folder, REPO_ID, token=TOKEN) == first
    assert len(loopback.repos[REPO_ID].commits) == 2  # the repository's own first, and ours


def test_notes_written_on_the_hub_survive_a_push(loopback, folder):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    card = tree(loopback)["README.md"].decode()
    notes = "<!-- notes -->\nLiked by \\1 users.\n<!-- /notes -->"
    edited = card.replace("<!-- notes -->\n<!-- /notes -->", notes).replace("# Small", "# Edited")
    loopback.repos[REPO_ID].commit("main", {**tree(loopback), "README.md": edited.encode()})
    push.push_folder(folder, REPO_ID, token=TOKEN)
    pushed = tree(loopback)["README.md"].decode()
    assert notes in pushed
    assert "# Edited" not in pushed


def test_notes_survive_a_card_without_a_place_for_them(loopback, folder):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    (folder / "README.md").write_text("# Bare\n")
    push.push_folder(folder, REPO_ID, token=TOKEN)
    assert tree(loopback)["README.md"] == b"# Bare\n\n<!-- notes -->\n<!-- /notes -->\n"


def test_a_network_as_loaded_takes_its_card_and_measurements_along(loopback, folder):
    MobileNetV3Cifar.from_pretrained(folder).push_to_hub("someone/copy", token=TOKEN)
    pushed = tree(loopback, "someone/copy")
    assert pushed["metrics.json"] == b'{"name": "small"}'
    assert pushed["model.safetensors"] == (folder / "model.safetensors").read_bytes()


def test_a_network_from_the_hub_as_loaded_leaves_there_what_is_there(loopback, folder):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    before = tree(loopback)
    loaded = MobileNetV3Cifar.from_pretrained(REPO_ID)
    loaded.push_to_hub(REPO_ID, token=TOKEN, tag="v1.0")
    assert tree(loopback) == before
    assert len(loopback.repos[REPO_ID].commits) == 2
    loaded.push_to_hub("someone/copy", token=TOKEN)
    assert tree(loopback, "someone/copy")["metrics.json"] == b'{"name": "small"}'


def test_measurements_of_other_weights_are_not_pushed(loopback, folder):
    (folder / "metrics.json").write_text(json.dumps({"weights": {"sha256": "0" * 64}}))
    with pytest.raises(ModelFolderError, match=r"metrics\.json was measured on other weights"):
        push.push_folder(folder, REPO_ID, token=TOKEN)
    assert loopback.requests == []


def test_an_export_of_other_weights_is_not_pushed(loopback, folder):
    (folder / "model.onnx").write_bytes(b"weights_sha256: " + b"0" * 64)
    with pytest.raises(ModelFolderError, match=r"model\.onnx was exported from other weights"):
        push.push_folder(folder, REPO_ID, token=TOKEN)
    assert loopback.requests == []
    sha256 = json.loads((folder / "config.json").read_text())["weights_sha256"]
    (folder / "model.onnx").write_text(f"weights_sha256: {sha256}")
    push.push_folder(folder, REPO_ID, token=TOKEN)
    assert "model.onnx" in tree(loopback)


def test_a_changed_network_gets_a_plain_card_and_drops_former_measurements(loopback, folder):
    model = MobileNetV3Cifar.from_pretrained(folder)
    model.push_to_hub(REPO_ID, token=TOKEN)
    with torch.no_grad():
        model.head[3].bias[0] += 1
    model.push_to_hub(REPO_ID, token=TOKEN)
    pushed = tree(loopback)
    assert not pushed.keys() & {"metrics.json", "seeds/1.json"}
    assert "none was measured" in " ".join(pushed["README.md"].decode().split())
    loaded = MobileNetV3Cifar.from_pretrained(REPO_ID)
    assert torch.equal(loaded.head[3].bias, model.head[3].bias)


HAND_WRITTEN = b"---\r\nlicense: apache-2.0\r\ntags: [mine]\r\n---\r\n# Mine\r\nNot for use X.\r\n"


def test_a_repository_that_a_person_filled_keeps_card_and_files(loopback, folder, caplog):
    theirs = {"README.md": HAND_WRITTEN, "metrics.json": b"mine", "curves.png": b"mine"}
    loopback.repos[REPO_ID] = Repo()
    loopback.repos[REPO_ID].commit("main", theirs)
    plan = push.plan_push(folder, REPO_ID, TOKEN)
    assert (plan.kept, plan.deleted, plan.card_is_merged) == (["metrics.json"], [], True)
    push.push_folder(folder, REPO_ID, token=TOKEN)
    pushed = tree(loopback)
    assert (pushed["metrics.json"], pushed["curves.png"]) == (b"mine", b"mine")
    assert "metrics.json in someone/small is kept" in caplog.text
    card = pushed["README.md"].decode()
    assert card.endswith("# Mine\r\nNot for use X.\r\n")
    metadata = ModelCard(card).data
    assert metadata.license == "apache-2.0"
    assert metadata.tags == ["mine", "mobilenetv3", "pytorch", "image-classification"]
    assert metadata.library_name == "mobilenetv3-cifar"
    assert MobileNetV3Cifar.from_pretrained(REPO_ID).config.dropout == 0.3
    MobileNetV3Cifar(dropout=0.4).push_to_hub(REPO_ID, token=TOKEN)
    assert tree(loopback)["README.md"] == pushed["README.md"]
    assert tree(loopback)["metrics.json"] == b"mine"


def test_a_card_whose_metadata_cannot_be_read_is_kept_as_it_is(loopback, folder):
    loopback.repos[REPO_ID] = Repo()
    loopback.repos[REPO_ID].commit("main", {"README.md": b"---\ntags: [unclosed\n---\nMine.\n"})
    push.push_folder(folder, REPO_ID, token=TOKEN)
    assert tree(loopback)["README.md"] == b"---\ntags: [unclosed\n---\nMine.\n"


def test_files_added_or_edited_after_a_push_of_ours_stay(loopback, folder):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    mine = {"metrics.json": b"edited", "curves.png": b"added", "notes.txt": b"added"}
    loopback.repos[REPO_ID].commit("main", tree(loopback) | mine)
    MobileNetV3Cifar().push_to_hub(REPO_ID, token=TOKEN)
    pushed = tree(loopback)
    assert {name: pushed[name] for name in mine} == mine
    assert "seeds/1.json" not in pushed  # ours, of the former model


def test_without_a_history_the_card_tells_whose_files_they_are(loopback, folder):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    loopback.faults["no_history"] = 1
    MobileNetV3Cifar().push_to_hub(REPO_ID, token=TOKEN)
    assert "metrics.json" not in tree(loopback)
    mine = {"README.md": HAND_WRITTEN, "metrics.json": b"mine"}
    loopback.repos[REPO_ID].commit("main", tree(loopback) | mine)
    loopback.faults["no_history"] = 1
    MobileNetV3Cifar(dropout=0.2).push_to_hub(REPO_ID, token=TOKEN)
    assert tree(loopback)["metrics.json"] == b"mine"


def test_a_plan_of_a_push_sends_nothing(loopback, folder):
    plan = push.plan_push(folder, REPO_ID, TOKEN)
    assert plan.sent == push.files_to_push(folder)
    assert (plan.kept, plan.deleted, plan.card_is_merged) == ([], [], False)
    assert REPO_ID not in loopback.repos
    push.push_folder(folder, REPO_ID, token=TOKEN)
    (folder / "metrics.json").unlink()
    assert push.plan_push(folder, REPO_ID, TOKEN).deleted == ["metrics.json"]
    assert not [asked for asked in loopback.requests[-5:] if asked.startswith("POST")]


def test_a_plain_card_states_licence_and_origin_where_they_are_known(loopback, folder):
    MobileNetV3Cifar.from_pretrained(list_variants()[0].name, num_classes=3).push_to_hub(
        REPO_ID, token=TOKEN
    )
    card = ModelCard(tree(loopback)["README.md"].decode())
    assert card.data.license == "mit"
    assert f"from `{list_variants()[0].name}`" in card.text
    changed = MobileNetV3Cifar.from_pretrained(REPO_ID, labels=["a", "b"])
    changed.push_to_hub("someone/changed", token=TOKEN)
    card = ModelCard(tree(loopback, "someone/changed")["README.md"].decode())
    assert card.data.base_model == REPO_ID
    assert card.data.license == "mit"
    MobileNetV3Cifar().push_to_hub("someone/new", token=TOKEN)
    card = ModelCard(tree(loopback, "someone/new")["README.md"].decode())
    assert (card.data.license, card.data.base_model) == (None, None)


def test_a_network_that_would_not_load_is_not_pushed(loopback, folder):
    model = MobileNetV3Cifar.from_pretrained(folder)
    model.head[3] = torch.nn.Conv2d(1280, 5, 1)
    with pytest.raises(ModelFolderError, match="this network cannot be saved"):
        model.push_to_hub(REPO_ID, token=TOKEN)
    assert loopback.requests == []


@pytest.mark.parametrize("name", ["README.md", "metrics.json"])
def test_a_pipe_in_a_folder_is_not_waited_for(loopback, folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with contextlib.suppress(ModelFolderError):
        push.push_folder(folder, REPO_ID, token=TOKEN)
    assert name not in loopback.repos.get(REPO_ID, Repo()).commits


def test_a_pull_request_leaves_main_alone(loopback, folder):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    (folder / "metrics.json").write_text('{"name": "other"}')
    url = push.push_folder(folder, REPO_ID, token=TOKEN, create_pr=True)
    assert url == f"{loopback.endpoint}/{REPO_ID}/discussions/1"
    assert tree(loopback)["metrics.json"] == b'{"name": "small"}'
    assert tree(loopback, ref="refs/pr/1")["metrics.json"] == b'{"name": "other"}'
    with pytest.raises(ValueError, match="pull request has no commit to tag"):
        push.push_folder(folder, REPO_ID, token=TOKEN, create_pr=True, tag="v1")


def test_a_tag_can_be_loaded_and_never_moves(loopback, folder):
    first = MobileNetV3Cifar.from_pretrained(folder)
    first.push_to_hub(REPO_ID, token=TOKEN, tag="v1.0")
    first.push_to_hub(REPO_ID, token=TOKEN, tag="v1.0")  # stands there already
    with pytest.raises(HubError, match=r"was pushed, but its tag v1\.0 stays"):
        MobileNetV3Cifar(dropout=0.7).push_to_hub(REPO_ID, token=TOKEN, tag="v1.0")
    assert MobileNetV3Cifar.from_pretrained(REPO_ID).config.dropout == 0.7
    assert MobileNetV3Cifar.from_pretrained(REPO_ID, revision="v1.0").config.dropout == 0.3
    before = tree(loopback)
    with pytest.raises(HubError, match=r"already has a tag v1\.0, of another commit"):
        MobileNetV3Cifar().push_to_hub(REPO_ID, token=TOKEN, tag="v1.0")
    assert tree(loopback) == before


def test_a_tag_that_could_not_be_loaded_is_refused_before_anything_is_sent(loopback, folder):
    for tag in ("", "a b", "a..b"):
        with pytest.raises(HubError, match="is not a branch, tag or commit"):
            push.push_folder(folder, REPO_ID, token=TOKEN, tag=tag)
    assert loopback.requests == []
    push.push_folder(folder, REPO_ID, token=TOKEN, tag="v1.0+cpu")
    assert MobileNetV3Cifar.from_pretrained(REPO_ID, revision="v1.0+cpu").config.dropout == 0.3


def test_a_private_repository_needs_the_token(loopback, folder):
    push.push_folder(folder, REPO_ID, token=TOKEN, private=True)
    assert loopback.repos[REPO_ID].private
    with pytest.raises(HubError, match="it is private and needs a token"):
        MobileNetV3Cifar.from_pretrained(REPO_ID)
    assert MobileNetV3Cifar.from_pretrained(REPO_ID, token=TOKEN).config.dropout == 0.3
    assert loopback.tokens_at_cdn == []


@pytest.mark.parametrize(
    ("card", "cause"),
    [
        ("---\ntags: [unclosed\n---\n", "metadata is not valid"),
        ("---\n- a list\n---\n", "metadata is not valid"),
        ("---\nmodel-index: 3\n---\n", "metadata is not valid"),
        ("---\ntags: 3\n---\n", "metadata is not valid"),
        ("---\n1: 2\n---\n", "metadata is not valid"),
        (None, "is missing; a push needs a card"),
    ],
)
def test_a_card_that_is_not_valid_is_refused_before_anything_is_sent(loopback, folder, card, cause):
    (folder / "README.md").unlink()
    if card is not None:
        (folder / "README.md").write_text(card)
    with pytest.raises(ModelFolderError, match=cause):
        push.push_folder(folder, REPO_ID, token=TOKEN)
    assert loopback.requests == []


def test_a_card_that_is_a_folder_is_refused(loopback, folder):
    (folder / "README.md").unlink()
    (folder / "README.md").mkdir()
    with pytest.raises(ModelFolderError, match=r"README\.md cannot be read"):
        push.push_folder(folder, REPO_ID, token=TOKEN)


def test_notes_of_the_folder_are_pushed_where_the_hub_has_none(loopback, folder):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text(card.replace("<!-- notes -->\n", "<!-- notes -->\nOurs.\n"))
    push.push_folder(folder, REPO_ID, token=TOKEN)
    assert b"\nOurs.\n" in tree(loopback)["README.md"]


def test_metadata_that_the_hub_refuses_is_not_pushed(loopback, folder):
    (folder / "README.md").write_text("---\ntags: {a: b}\n---\n")
    with pytest.raises(HubError, match="tags must be a list"):
        push.push_folder(folder, REPO_ID, token=TOKEN)
    assert "PUT /lfs" not in loopback.requests
    assert sorted(tree(loopback)) == [".gitattributes"]


def test_a_folder_that_does_not_load_is_not_pushed(loopback, folder):
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelFolderError, match=r"not the file that config\.json names"):
        push.push_folder(folder, REPO_ID, token=TOKEN)
    assert loopback.requests == []


@pytest.mark.parametrize(
    ("repo_id", "token", "advice"),
    [
        (REPO_ID, "hf_wrongwrongwrong", r"log in with `hf auth login`"),
        ("forbidden/small", TOKEN, r"needs write access to the owner's repositories"),
        ("no-owner", TOKEN, r"'no-owner' is not a repository id: it must be owner/name"),
        ("../up", TOKEN, r"'../up' is not a repository id"),
        (REPO_ID, "hf_broken\nsecret", r"the token has characters that no token has"),
    ],
)
def test_a_refused_push_says_what_to_do_and_never_the_token(
    loopback, folder, repo_id, token, advice, caplog, capfd
):
    with pytest.raises(HubError, match=advice) as refusal:
        push.push_folder(folder, repo_id, token=token)
    said = "".join([*traceback.format_exception(refusal.value), caplog.text, *capfd.readouterr()])
    assert not any(part in said for part in token.splitlines())


def test_a_failed_upload_is_retried(loopback, folder, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    loopback.faults["put_500"] = 1
    push.push_folder(folder, REPO_ID, token=TOKEN)
    assert tree(loopback)["model.safetensors"] == (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize(("fault", "commits"), [("commit_500", 1), ("commit_lost", 2)])
def test_a_commit_without_an_answer_can_be_pushed_again(loopback, folder, fault, commits):
    loopback.faults[fault] = 1
    with pytest.raises(HubError, match="retry: it is safe even if a push went through"):
        push.push_folder(folder, REPO_ID, token=TOKEN)
    assert len(loopback.repos[REPO_ID].commits) == commits
    push.push_folder(folder, REPO_ID, token=TOKEN)
    assert len(loopback.repos[REPO_ID].commits) == 2


def test_a_push_beside_another_is_refused(loopback, folder, monkeypatch):
    push.push_folder(folder, REPO_ID, token=TOKEN)
    (folder / "metrics.json").write_text("{}")
    real = push.make_plan

    def meanwhile(*arguments):
        loopback.repos[REPO_ID].commit("main", {**tree(loopback), "other.txt": b"x"})
        return real(*arguments)

    monkeypatch.setattr(push, "make_plan", meanwhile)
    with pytest.raises(HubError, match="the repository changed meanwhile: push again"):
        push.push_folder(folder, REPO_ID, token=TOKEN)
