"""Keep the repositories of the local Hub `tests.loopback_hub` in memory, and hash their files."""

import dataclasses
import hashlib
import json

LARGE = (".safetensors", ".onnx", ".png")  # stored with git-lfs, as on the real Hub


@dataclasses.dataclass
class Repo:
    """A Hub repository in memory.

    `refs` maps each branch and pull request to the hash of its newest commit. `commits` maps each
    commit hash to {path: content} of all files in the commit, including unchanged files.
    """

    private: bool = False
    commits: dict[str, dict[str, bytes]] = dataclasses.field(default_factory=dict)
    refs: dict[str, str] = dataclasses.field(default_factory=dict)
    messages: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict)  # by commit hash

    def commit(
        self, ref: str, tree: dict[str, bytes], title: str = "By hand", description: str = ""
    ) -> str:
        listing = sorted((path, sha256(content)) for path, content in tree.items())
        oid = hashlib.sha1(json.dumps([ref, len(self.commits), listing]).encode()).hexdigest()
        self.commits[oid] = tree
        self.messages[oid] = (title, description)
        self.refs[ref] = oid
        return oid

    def resolve(self, revision: str) -> str | None:
        return {**self.refs, **{oid: oid for oid in self.commits}}.get(revision)

    def describe(self, sha: str) -> dict[str, object]:
        files = [{"rfilename": path} for path in sorted(self.commits[sha])]
        return {"sha": sha, "private": self.private, "tags": [], "siblings": files}

    def list_commits(self) -> list[dict[str, object]]:
        """Return all commits of all branches, newest first."""
        same = {"date": "2026-01-01T00:00:00.000Z", "authors": [{"user": "someone"}]}
        return [
            {"id": oid, "title": title, "message": message, **same}
            for oid, (title, message) in reversed(self.messages.items())
        ]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def file_oid(path: str, content: bytes) -> str:
    """Return the Hub's file id: SHA-256 if `path` ends in one of `LARGE`, else git's blob hash."""
    if path.endswith(LARGE):
        return sha256(content)
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def entry(path: str, content: bytes) -> dict[str, object]:
    oid, size = file_oid(path, content), len(content)
    large = {"lfs": {"oid": oid, "size": size, "pointerSize": 134}} if path.endswith(LARGE) else {}
    return {"type": "file", "path": path, "oid": oid, "size": size, **large}
