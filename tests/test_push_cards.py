"""These tests push generated, hand-written and invalid model cards, and cards with notes."""

import pytest
from huggingface_hub import ModelCard

from mobilenetv3_cifar import (
    HubError,
    MobileNetV3Cifar,
    ModelFolderError,
    download,
    list_variants,
    push,
)
from mobilenetv3_cifar.card import merge_cards
from tests.hub_fixtures import REPO_ID, send, tree
from tests.loopback_hub import TOKEN
from tests.loopback_repo import Repo

pytest_plugins = ["tests.hub_fixtures"]

HAND_WRITTEN = b"---\r\nlicense: apache-2.0\r\ntags: [mine]\r\n---\r\n# Mine\r\nNot for use X.\r\n"
NOTES = "<!-- notes -->\n<!-- /notes -->"


def test_notes_written_on_the_hub_survive_pushes(pushed, folder):
    card = tree(pushed)["README.md"].decode()
    notes = "<!-- notes -->\nLiked by \\1 users.\n<!-- /notes -->"
    edited = card.replace(NOTES, notes).replace("# Small", "# Edited")
    pushed.repos[REPO_ID].commit("main", {**tree(pushed), "README.md": edited.encode()})
    send(folder)
    assert tree(pushed)["README.md"].decode() == card.replace(NOTES, notes)
    (folder / "README.md").write_text("# Bare\n")
    send(folder)
    assert tree(pushed)["README.md"].decode() == f"# Bare\n\n{notes}\n"


def test_notes_of_the_folder_are_pushed_where_the_hub_has_none(pushed, folder):
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text(card.replace("<!-- notes -->\n", "<!-- notes -->\nOurs.\n"))
    send(folder)
    assert b"\nOurs.\n" in tree(pushed)["README.md"]


def test_a_repository_that_a_person_filled_keeps_card_and_files(loopback, folder, caplog):
    theirs = {"README.md": HAND_WRITTEN, "metrics.json": b"mine", "curves.png": b"mine"}
    loopback.repos[REPO_ID] = Repo()
    loopback.repos[REPO_ID].commit("main", theirs)
    plan = push.plan_push(folder, REPO_ID, TOKEN)
    assert (plan.kept, plan.deleted, plan.card_is_merged) == (["metrics.json"], [], True)
    send(folder)
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


def test_a_hand_written_card_gets_no_measurements_which_no_later_push_would_replace():
    ours = (list_variants()[0].folder / "README.md").read_text()
    merged = ModelCard(merge_cards(ours, HAND_WRITTEN.decode())).data.to_dict()
    assert "model-index" in ours
    assert "datasets" in merged
    assert "model-index" not in merged


def test_a_hand_written_card_of_the_folder_gets_no_empty_notes():
    generated = "---\nlicense: mit\n---\n<!-- notes -->{}<!-- /notes -->\n"
    ours = HAND_WRITTEN.decode()
    assert merge_cards(ours, generated.format("\n")) == ours
    assert merge_cards(ours, generated.format(" kept ")).endswith(
        "<!-- notes --> kept <!-- /notes -->\n"
    )


def test_a_card_whose_metadata_cannot_be_read_is_kept_as_it_is(loopback, folder):
    loopback.repos[REPO_ID] = Repo()
    loopback.repos[REPO_ID].commit("main", {"README.md": b"---\ntags: [unclosed\n---\nMine.\n"})
    send(folder)
    assert tree(loopback)["README.md"] == b"---\ntags: [unclosed\n---\nMine.\n"


def test_a_plain_card_states_licence_and_origin_where_they_are_known(loopback, folder):
    name = list_variants()[0].name
    changed = MobileNetV3Cifar.from_pretrained(name, num_classes=3)
    changed.push_to_hub(REPO_ID, token=TOKEN)
    card = ModelCard(tree(loopback)["README.md"].decode())
    assert card.data.license == "mit"
    assert f"from `{name}`" in card.text
    changed = MobileNetV3Cifar.from_pretrained(REPO_ID, labels=["a", "b"])
    changed.push_to_hub("someone/changed", token=TOKEN)
    card = ModelCard(tree(loopback, "someone/changed")["README.md"].decode())
    assert (card.data.license, card.data.base_model) == ("mit", REPO_ID)
    MobileNetV3Cifar().push_to_hub("someone/new", token=TOKEN)
    card = ModelCard(tree(loopback, "someone/new")["README.md"].decode())
    assert (card.data.license, card.data.base_model) == (None, None)


@pytest.mark.parametrize(
    ("card", "cause"),
    [
        ("---\ntags: [unclosed\n---\n", "metadata is invalid"),
        ("---\n- a list\n---\n", "metadata is invalid"),
        ("---\nmodel-index: 3\n---\n", "metadata is invalid"),
        ("---\ntags: 3\n---\n", "metadata is invalid"),
        ("---\n1: 2\n---\n", "metadata is invalid"),
        (None, "is missing; a push needs a card"),
    ],
)
def test_a_card_that_is_not_valid_is_refused_before_anything_is_sent(loopback, folder, card, cause):
    (folder / "README.md").unlink()
    if card is not None:
        (folder / "README.md").write_text(card)
    with pytest.raises(ModelFolderError, match=cause):
        send(folder)
    assert loopback.requests == []


def test_metadata_that_the_hub_refuses_is_not_pushed(loopback, folder):
    (folder / "README.md").write_text("---\ntags: {a: b}\n---\n")
    with pytest.raises(HubError, match="tags must be a list"):
        send(folder)
    assert "PUT /lfs" not in loopback.requests
    assert sorted(tree(loopback)) == [".gitattributes"]


def test_a_folder_that_is_gone_is_not_made_again(tmp_path, monkeypatch):
    """If the cache is not writable, `from_pretrained` uses a temporary folder and deletes it."""
    model = MobileNetV3Cifar(size="small", blocks="cifar32")
    model.repository, model.folder = "owner/name", tmp_path / "gone"
    monkeypatch.setattr(download, "fetch_files", lambda *_: pytest.fail("it is downloaded"))
    assert model.find_origin(None, tmp_path / "spare") == ("owner/name", "")
