"""Format numbers and Markdown tables for reports, and render the templates in this folder."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from jinja2 import Environment, FileSystemLoader


def percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def points(fraction: float) -> str:
    """Format `fraction`, the difference of two accuracies, in percentage points with its sign."""
    return f"{100 * fraction:+.2f}"


def mean_and_deviation(values: list[float]) -> str:
    """Format the mean of accuracies and, if there are several, their standard deviation."""
    deviation = f" ± {100 * stdev(values):.2f}" if len(values) > 1 else ""
    return f"{100 * mean(values):.2f}{deviation} %"


def hardware(device: str) -> str:
    """Format `device`, which lists several devices if a run was resumed on another machine."""
    return device.replace(" 1 threads", " 1 thread").replace(", cpu: ", ", then on cpu: ")


def commits(names: str) -> str:
    """Shorten each commit hash in `names` to seven digits."""
    return re.sub(r"\b([0-9a-f]{7})[0-9a-f]{33}\b", r"\1", names)


def table(heads: list[str], rows: Iterable[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), trim_blocks=True, lstrip_blocks=True
)
TEMPLATES.filters |= {"percent": percent, "points": points, "hardware": hardware}
TEMPLATES.filters |= {"commits": commits, "mean_and_deviation": mean_and_deviation}


def render(template: str, **values: Any) -> bytes:
    """Render the file `template` with `values`, as UTF-8 that ends with exactly one newline."""
    return f"{TEMPLATES.get_template(template).render(values).rstrip()}\n".encode()


def to_json(content: Any) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
