"""These tests check that the demo's Space gets all files it needs and pins the tested versions."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import CommitOperationAdd

from demo.space import deploy
from demo.space.deploy import ROOT, files


def pins(path):
    return set(re.findall(r"^[\w-]+==\S+", path.read_text(), re.MULTILINE))


def test_a_space_has_all_that_the_demo_imports_and_nothing_of_training(tmp_path):
    for name, path in files().items():
        copy = tmp_path / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    assert not (tmp_path / "training").exists()
    assert not (tmp_path / "demo" / "space").exists()
    assert not (tmp_path / "demo" / "static").exists()
    assert (tmp_path / "app.py").exists()
    script = "import demo; demo.build_demo(); print(demo.__file__)"
    command = [sys.executable, "-c", script]
    completed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(completed.stdout.strip()) == tmp_path / "demo" / "__init__.py"


def test_a_space_gets_only_files_that_git_tracks(tmp_path, monkeypatch):
    monkeypatch.setattr(deploy, "ROOT", tmp_path)
    for name in (*deploy.SENT, "demo/space/", "demo/static/"):
        path = tmp_path / (f"{name}a.py" if name.endswith("/") else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for command in ("init", "add ."):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "demo" / ".env").write_text("a secret")
    folders = {f"{name}/a.py" for name in ("demo", "mobilenetv3_cifar", "model_cards")}
    assert files().keys() == {*deploy.AT_THE_ROOT, "app.py", "LICENSE", *folders}


@pytest.mark.parametrize("path", ["/nowhere", os.environ["PATH"]])
def test_without_git_or_tracked_files_the_command_ends_with_one_line(tmp_path, monkeypatch, path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.setattr(deploy, "ROOT", tmp_path)
    monkeypatch.setenv("PATH", path)
    monkeypatch.setattr("sys.argv", ["deploy", "owner/demo", "--dry-run"])
    with pytest.raises(SystemExit, match=r"^error: git cannot list the files to send: .*git.*\Z"):
        deploy.main()


class FakeHub:
    """A stand-in for the Hub's client, with a Space that has files of an earlier deployment."""

    def __init__(self):
        self.operations = []
        self.existing = [".gitattributes", "app.py", "model_cards/former/config.json", "mine.txt"]

    def create_repo(self, repo_id, **options):
        if repo_id == "forbidden/demo":
            raise OSError("403\nForbidden")

    def list_repo_files(self, repo_id, repo_type):
        return self.existing

    def create_commit(self, repo_id, operations, **options):
        self.operations = operations
        return SimpleNamespace(repo_url=f"https://hub/spaces/{repo_id}")


@pytest.fixture
def fake(monkeypatch):
    hub = FakeHub()
    monkeypatch.setattr(deploy, "HfApi", lambda: hub)
    monkeypatch.setattr(deploy, "require_hub", lambda: None)
    return hub


def changes(hub):
    """Return the files that the last commit sends, as {path: file}, and the paths it deletes."""
    sent = [each for each in hub.operations if isinstance(each, CommitOperationAdd)]
    deleted = [each.path_in_repo for each in hub.operations if each not in sent]
    return {each.path_in_repo: each.path_or_fileobj for each in sent}, deleted


def test_a_space_keeps_only_what_lies_outside_our_folders(fake):
    assert deploy.deploy("owner/demo") == "https://hub/spaces/owner/demo"
    sent, deleted = changes(fake)
    assert sent.keys() == files().keys()
    assert deleted == ["model_cards/former/config.json"]


@pytest.mark.parametrize(
    ("repo_id", "line"),
    [
        ("forbidden/demo", "error: deploying to forbidden/demo failed: 403 Forbidden"),
        ("a/b/c", "error: 'a/b/c' is not a repository id: it must be owner/name"),
    ],
)
def test_a_failed_deployment_is_reported_in_one_line(fake, monkeypatch, repo_id, line):
    monkeypatch.setattr("sys.argv", ["deploy", repo_id])
    with pytest.raises(SystemExit) as end:
        deploy.main()
    assert end.value.code == line


def test_a_space_pins_the_versions_that_are_tested():
    tested = pins(ROOT / "requirements.txt")
    space = ROOT / "demo" / "space"
    pinned = pins(space / "requirements.txt")
    assert pinned <= tested
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["onnx"]]
    assert {pin.split("==")[0] for pin in pinned} == {re.split("[><=]", each)[0] for each in needed}
    version = re.search(r"^sdk_version: (\S+)$", (space / "README.md").read_text(), re.MULTILINE)
    assert f"gradio=={version[1]}" in tested
