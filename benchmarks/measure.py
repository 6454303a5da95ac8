"""Time two implementations in turn, and write the results and the package versions to a file."""

import importlib.metadata
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mobilenetv3_cifar.files import replace_files
from training.loop.provenance import commit, processor
from training.reports.text import table
from training.timing import interleave

PACKAGES = ("torch", "onnxruntime", "torchvision", "timm", "transformers", "grad-cam", "gradio")


@dataclass
class Report:
    """The content of benchmarks/RESULTS.md."""

    rows: list[list[str]] = field(default_factory=list)  # of the table
    notes: list[str] = field(default_factory=list)  # lines of Markdown

    def compare(
        self,
        what: str,
        against: str,
        sides: Sequence[Callable[[], object]],
        rounds: int,
        repeats: int = 1,
        goal: float | None = None,
    ) -> None:
        """Time the two functions in `sides` in turn, ours first, and add a table row."""
        ours, theirs = interleave(sides, rounds, repeats)
        self.add(what, against, ours, theirs, goal=goal)

    def add(
        self,
        what: str,
        against: str,
        ours: Sequence[float],
        theirs: Sequence[float],
        unit: str = "ms",
        goal: float | None = None,
    ) -> None:
        """Add a table row. `goal` is the ratio of `theirs` to `ours` that we want to reach.

        `ours` and `theirs` have one value per round, in seconds (shown in ms) or in MB.
        """
        ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
        wanted = "" if goal is None else f"≥ {goal:g}"
        row = [what, against, shown(ours, unit), shown(theirs, unit), f"{ratio:.2f}", wanted]
        self.rows.append(row)
        print(" | ".join(row), flush=True)

    def note(self, line: str) -> None:
        self.notes.append(line)
        print(line, flush=True)

    def write(self, path: Path) -> None:
        head, notes = ["what", "against", "ours", "theirs", "ratio", "goal"], "\n".join(self.notes)
        text = (
            "# Benchmarks\n\n"
            'Written by `python -m benchmarks.run`. In each round, "ours" ran first and "theirs" '
            "second. Values are medians over the rounds, with the lowest and highest value in "
            "parentheses. The ratio is the median of theirs / ours over the rounds. If it is above "
            "1, ours is faster or smaller.\n\n"
            f"{environment()}\n\n{table(head, self.rows)}\n\n{notes}"
        )
        replace_files(path.parent, {path.name: f"{text.rstrip()}\n".encode()})


def shown(values: Sequence[float], unit: str) -> str:
    factor = 1000 if unit == "ms" else 1
    low, middle, high = (
        f"{factor * value:.{0 if factor * value >= 100 else 2}f}"
        for value in (min(values), statistics.median(values), max(values))
    )
    return f"{middle} {unit}" if low == high else f"{middle} {unit} ({low} to {high})"


def environment() -> str:
    versions = ", ".join(f"{name} {version(name) or '(not installed)'}" for name in PACKAGES)
    return (
        f"Machine: {processor()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at "
        f"the end, {platform.system()} {platform.release()}. Versions: commit "
        f"{commit()}, Python {platform.python_version()}, {versions}."
    )


def version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
