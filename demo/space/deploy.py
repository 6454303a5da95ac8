"""The demo -> a Space on the Hub, in one commit, with all that it needs to run.

python -m demo.space.deploy owner/name            needs a token: hf auth login
python -m demo.space.deploy owner/name --dry-run  lists what would be sent
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi

ROOT = Path(__file__).parents[2]
SENT = ("app.py", "LICENSE", "demo/**/*", "mobilenetv3_cifar/**/*", "model_cards/**/*")
SPACE = ("demo", "space")
AT_THE_ROOT = ("README.md", "requirements.txt")  # of SPACE: the Hub looks for them at the root


def files() -> Iterator[tuple[str, Path]]:
    """Each file's place in the Space, and where it is here."""
    for pattern in SENT:
        for path in sorted(ROOT.glob(pattern)):
            place = path.relative_to(ROOT)
            if path.is_file() and "__pycache__" not in place.parts and place.parts[:2] != SPACE:
                yield place.as_posix(), path
    for name in AT_THE_ROOT:
        yield name, ROOT.joinpath(*SPACE, name)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.space.deploy")
    parser.add_argument("repo_id", metavar="owner/name")
    parser.add_argument("--dry-run", action="store_true", help="list the files and send nothing")
    arguments = parser.parse_args()
    sent = list(files())
    if arguments.dry_run:
        for place, path in sent:
            print(f"{path.stat().st_size:10,}  {place}")
        return
    hub = HfApi()
    hub.create_repo(arguments.repo_id, repo_type="space", space_sdk="gradio", exist_ok=True)
    commit = hub.create_commit(
        arguments.repo_id,
        [CommitOperationAdd(place, path) for place, path in sent],
        commit_message="The demo and its networks",
        repo_type="space",
    )
    print(commit.repo_url)


if __name__ == "__main__":
    main()
