"""Print predictions on the command line, and make any file name safe to print.

File names may contain line breaks, terminal escape codes, spreadsheet formulas, bytes that
are not UTF-8, and characters that standard output cannot encode.
"""

import csv
import json
import os
import sys
from collections.abc import Iterable
from io import TextIOWrapper
from typing import Any

from mobilenetv3_cifar.classifier import Prediction
from mobilenetv3_cifar.errors import escape

Answers = Iterable[tuple[str, Prediction]]  # (path of an image, its prediction)

PROBABLY_NONE = ", probably none of the classes"
# A spreadsheet reads a cell that starts with one of these characters as a formula.
FORMULA = ("=", "+", "-", "@")


def make_encodable() -> None:
    """Make standard output and standard error escape the characters that they cannot encode."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def to_unicode(name: str | os.PathLike[str]) -> str:
    r"""Return a file name as valid Unicode. Bytes that are not UTF-8 are escaped, as in \xff."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def printable(name: str | os.PathLike[str]) -> str:
    """Return a file name on one line, with unprintable characters and invalid UTF-8 escaped."""
    return escape(to_unicode(name))


def print_table(answers: Answers) -> None:
    for path, prediction in answers:
        ranked = ", ".join(f"{label} {100 * value:.1f} %" for label, value in prediction.items())
        flag = PROBABLY_NONE if prediction.probably_none else ""
        print(f"{printable(path)}: {ranked} (score {prediction.ood_score:.3f}{flag})")


def print_csv(answers: Answers) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["path", "rank", "label", "probability", "ood_score", "probably_none"])
    for path, prediction in answers:
        cell = printable(path)
        if cell.startswith(FORMULA) and cell != "-":
            cell = f"./{cell}"
        score, flag = prediction.ood_score, str(prediction.probably_none).lower()
        for rank, (label, value) in enumerate(prediction.items(), start=1):
            quoted = f"'{label}" if label.startswith(FORMULA) else label
            writer.writerow([cell, rank, quoted, value, score, flag])


def print_jsonl(answers: Answers) -> None:
    for path, prediction in answers:
        ranked = [{"label": label, "probability": value} for label, value in prediction.items()]
        scores = {"ood_score": prediction.ood_score, "probably_none": prediction.probably_none}
        print(json.dumps({"path": to_unicode(path), "predictions": ranked, **scores}))


FORMATS = {"table": print_table, "csv": print_csv, "jsonl": print_jsonl}


def print_rows(rows: Iterable[dict[str, Any]]) -> None:
    """Print `rows` as a table with the keys as headings. Right-align all but the first column."""
    rows = list(rows)
    texts = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for first, *others in texts:
        cells = (text.rjust(width + 2) for text, width in zip(others, widths[1:], strict=True))
        print(first.ljust(widths[0]) + "".join(cells))
