"""Deploy the demo, with all files that it needs, to a Space on the Hugging Face Hub.

python -m demo.space.deploy owner/name            needs a token: hf auth login
python -m demo.space.deploy owner/name --dry-run  lists what would be sent
"""

import subprocess
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from mobilenetv3_cifar.command_line import command_parser, one_line_errors
from mobilenetv3_cifar.errors import HubError
from mobilenetv3_cifar.hub import check_repo_id, hub_errors, require_hub

ROOT = Path(__file__).parents[2]
SENT = ("app.py", "LICENSE", "demo/", "mobilenetv3_cifar/", "model_cards/")
SPACE = "demo/space/"
NOT_SENT = (SPACE, "demo/static/")  # folders that the demo's server does not need
AT_THE_ROOT = ("README.md", "requirements.txt")  # files of demo/space/ for the Space's root folder


def files() -> dict[str, Path]:
    """Return the files to send, as {path in the Space: local path}.

    Only files that git tracks are sent, because the Space is public. If git cannot list these
    files, raise a HubError.
    """
    command = ["git", "ls-files", "-z", "--error-unmatch", "--", *SENT]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = str(getattr(error, "stderr", error)).partition("\n")[0]
        raise HubError(f"git cannot list the files to send: {reason}") from error
    sent = {name: ROOT / SPACE / name for name in AT_THE_ROOT}
    names = [name for name in done.stdout.split("\0") if not name.startswith(NOT_SENT)]
    return sent | {name: ROOT / name for name in names if (ROOT / name).is_file()}


def deploy(repo_id: str) -> str:
    """Send the demo's files to the Space `repo_id` in one commit, and return the Space's address.

    If the Space does not exist, it is created. In an existing Space, files in the folders of SENT
    are deleted unless sent again. If a request to the Hub fails, raise a HubError.
    """
    api, sent = HfApi(), files()
    with hub_errors(f"deploying to {repo_id}"):
        require_hub()
        api.create_repo(repo_id, repo_type="space", space_sdk="gradio", exist_ok=True)
        folders = tuple(name for name in SENT if name.endswith("/"))
        existing = api.list_repo_files(repo_id, repo_type="space")
        obsolete = [name for name in existing if name.startswith(folders) and name not in sent]
        changes: list[Any] = [CommitOperationAdd(name, path) for name, path in sent.items()]
        changes += map(CommitOperationDelete, obsolete)
        message = "The demo and its networks"
        commit = api.create_commit(repo_id, changes, commit_message=message, repo_type="space")
    return str(commit.repo_url)


@one_line_errors()
def main() -> None:
    parser = command_parser("demo.space.deploy", __doc__)
    parser.add_argument("repo_id", metavar="owner/name")
    parser.add_argument("--dry-run", action="store_true", help="list the files and send nothing")
    arguments = parser.parse_args()
    check_repo_id(arguments.repo_id)
    if not arguments.dry_run:
        print(deploy(arguments.repo_id))
        return
    for name, path in files().items():
        print(f"{path.stat().st_size:10,}  {name}")


if __name__ == "__main__":
    main()
