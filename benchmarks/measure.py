"""Comparisons of two sides measured in turn, and their report with machine and versions."""

import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from training.loop.provenance import commit, processor
from training.reports.text import table

PACKAGES = ("torch", "onnxruntime", "torchvision", "timm", "transformers", "grad-cam", "gradio")


@dataclass(frozen=True)
class Comparison:
    """The seconds of both sides, round by round; `unit` "MB" means sizes instead."""

    what: str
    against: str
    ours: Sequence[float]
    theirs: Sequence[float]
    unit: str = "ms"
    goal: float | None = None  # of the ratio

    @property
    def ratio(self) -> float:
        """The median over rounds of the other side's time over ours."""
        return statistics.median(b / a for a, b in zip(self.ours, self.theirs, strict=True))

    def row(self) -> list[str]:
        goal = "" if self.goal is None else f"≥ {self.goal:g}"
        sides = [shown(self.ours, self.unit), shown(self.theirs, self.unit)]
        return [self.what, self.against, *sides, f"{self.ratio:.2f}", goal]


@dataclass
class Report:
    """The content of RESULTS.md."""

    comparisons: list[Comparison] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # lines of Markdown

    def add(self, comparison: Comparison) -> None:
        self.comparisons.append(comparison)
        print(" | ".join(comparison.row()), flush=True)

    def note(self, line: str) -> None:
        self.notes.append(line)
        print(line, flush=True)

    def write(self, path: Path, command: str) -> None:
        head = ["what", "against", "ours", "theirs", "ratio", "goal"]
        lines = [
            "# Benchmarks",
            "",
            f"Written by `{command}`. Medians over rounds in which both sides ran in turn, and in "
            "parentheses the fastest and slowest round; the ratio is the median of the rounds' "
            "ratios, above 1 where ours is faster or smaller.",
            "",
            environment(),
            "",
            table(head, [each.row() for each in self.comparisons]),
            "",
            *self.notes,
        ]
        path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


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


def run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def run_python(script: str) -> None:
    run([sys.executable, "-c", script])
