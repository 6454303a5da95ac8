"""Run the command-line program. An expected error ends it with one line and a non-zero status.

python -m mobilenetv3_cifar --help
"""

import os
import sys

from mobilenetv3_cifar.errors import MobileNetV3CifarError, escape


def main() -> None:
    if sys.stderr is None:  # stderr is closed, and print(file=None) would write to stdout
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115
    if sys.stdout is None:
        sys.exit("error: standard output is closed")
    try:
        try:
            status = run()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the program that reads the output has closed the pipe
        status = 1
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        status = 130
    except OSError as error:
        where = f"{escape(str(error.filename))}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        status = 1
    except (MobileNetV3CifarError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        status = 1
    sys.exit(status)


def run() -> int:
    # These imports are here so that `main` also handles Ctrl-C during the imports.
    from mobilenetv3_cifar.cli import make_parser
    from mobilenetv3_cifar.output import make_encodable

    make_encodable()
    arguments = make_parser().parse_args()
    return arguments.run(arguments)


if __name__ == "__main__":
    main()
