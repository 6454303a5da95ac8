"""Push the model folder of a shipped variant to the Hugging Face Hub.

python -m training.publish small-dropout0.7-epochs4 --repo-id owner/name --dry-run
"""

import sys
from pathlib import Path

from mobilenetv3_cifar import HubError, hub, push
from mobilenetv3_cifar.command_line import command_parser, one_line_errors
from mobilenetv3_cifar.variants import get_variant
from training.experiments import EXPERIMENTS


def print_plan(folder: Path, repo_id: str) -> None:
    """Print what a push would change. If a request to the Hub fails, assume an empty repository."""
    hub.check_repo_id(repo_id)
    try:
        plan = push.plan_push(folder, repo_id)
    except HubError as error:
        print(f"assuming that the repository is empty: {error}", file=sys.stderr)
        plan = push.Plan("", push.files_to_push(folder), [], [], False, None)
    print(f"to {repo_id}, in one commit:")
    for name in plan.sent:
        print(f"  {name}  {(folder / name).stat().st_size:,} bytes")
    if plan.card_is_merged:
        print("  README.md  kept: it is hand-written; only missing metadata is added")
    for name in plan.deleted:
        print(f"  {name}  deleted: sent by the last push, but no longer in the folder")
    for name in plan.kept:
        print(f"  {name}  kept: not sent by the last push, or changed in the repository since")


@one_line_errors()
def main() -> None:
    parser = command_parser("training.publish", __doc__)
    parser.add_argument("name", choices=EXPERIMENTS, metavar="NAME", help=", ".join(EXPERIMENTS))
    parser.add_argument("--repo-id", required=True, metavar="OWNER/NAME")
    parser.add_argument("--dry-run", action="store_true", help="only list what a push would do")
    arguments = parser.parse_args()
    folder = get_variant(arguments.name).folder
    if arguments.dry_run:
        print_plan(folder, arguments.repo_id)
    else:
        print(push.push_folder(folder, arguments.repo_id))


if __name__ == "__main__":
    main()
