"""What the command line prints of predictions: one line each, whatever the names of files hold.

Names of files may hold line breaks, escape codes of terminals, formulas of spreadsheets, bytes that
are not UTF-8, and characters that standard output cannot encode.
"""

import codecs
import csv
import json
import os
import sys
from collections.abc import Callable, Iterable
from io import TextIOWrapper

from mobilenetv3_cifar.classifier import Prediction

Answers = Iterable[tuple[str, Prediction]]  # the path as given, and what it shows

FORMULA = ("=", "+", "-", "@")  # what a spreadsheet takes for the start of one
COLUMNS = ["path", "rank", "label", "probability", "ood_score", "probably_none"]


def escape_unencodable(error: UnicodeError) -> tuple[str | bytes, int]:
    """For `codecs`: bytes of names as they are, other characters as backslash escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    try:
        return error.object[error.start : error.end].encode("ascii", "surrogateescape"), error.end
    except UnicodeEncodeError:
        return codecs.backslashreplace_errors(error)


codecs.register_error("mobilenetv3_cifar.escape", escape_unencodable)


def make_encodable() -> None:
    """Have standard output and error take any name."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="mobilenetv3_cifar.escape")


def printable(name: str | os.PathLike[str]) -> str:
    """The name on one line: control characters escaped, bytes that are not UTF-8 kept."""
    return "".join(
        char if char.isprintable() or "\udc80" <= char <= "\udcff" else escape(char)
        for char in os.fspath(name)
    )


def escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def to_unicode(name: str) -> str:
    r"""The name as valid Unicode: bytes that are not UTF-8 become \xff and the like."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def print_table(answers: Answers) -> None:
    for path, prediction in answers:
        ranked = ", ".join(f"{label} {100 * value:.1f} %" for label, value in prediction.items())
        flag = ", probably none of the classes" if prediction.probably_none else ""
        print(f"{printable(path)}: {ranked} (score {prediction.ood_score:.3f}{flag})")


def print_csv(answers: Answers) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    for path, prediction in answers:
        score = [prediction.ood_score, str(prediction.probably_none).lower()]
        for rank, (label, value) in enumerate(prediction.items(), start=1):
            writer.writerow([path_cell(path), rank, label_cell(label), value, *score])


def path_cell(path: str) -> str:
    """The path; a relative one that a spreadsheet would take for a formula begins with ./"""
    text = printable(to_unicode(path))
    return f"./{text}" if text.startswith(FORMULA) and text != "-" else text


def label_cell(label: str) -> str:
    return f"'{label}" if label.startswith(FORMULA) else label


def print_jsonl(answers: Answers) -> None:
    for path, prediction in answers:
        ranked = [{"label": label, "probability": value} for label, value in prediction.items()]
        row = {
            "path": to_unicode(path),
            "predictions": ranked,
            "ood_score": prediction.ood_score,
            "probably_none": prediction.probably_none,
        }
        print(json.dumps(row))


FORMATS: dict[str, Callable[[Answers], None]] = {
    "table": print_table,
    "csv": print_csv,
    "jsonl": print_jsonl,
}
