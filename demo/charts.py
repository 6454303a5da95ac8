"""Line charts as SVG, drawn by the page's own style sheet so that both themes are readable."""

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from demo.figures import read_history
from demo.markup import percent

WIDTH, HEIGHT = 380, 210
LEFT, RIGHT, TOP, BOTTOM = 44, 370, 12, 176  # of the area that is drawn in
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # distances of grid lines
MAX_STEPS = 6
NOTE = "Training accuracy and loss are those within an epoch, with augmentation and dropout."
Points = Sequence[tuple[float, float]]


def chart(
    title: str,
    x_label: str,
    lines: dict[str, Points],
    span: Sequence[float] = (),
    cursor: float | None = None,
) -> str:
    """SVG: a line for each style class of `lines`.

    Args:
        span: values that the vertical axis includes at least, to compare several charts.
        cursor: where to draw a vertical line.
    """
    across = [x for points in lines.values() for x, _ in points]
    values = [*span, *(y for points in lines.values() for _, y in points)]
    fits = (step for step in STEPS if max(values) - min(values) <= MAX_STEPS * step)
    step = next(fits, STEPS[-1])
    low, high = math.floor(min(values) / step), math.ceil(max(values) / step)
    grid = [number * step for number in range(low, max(high, low + 1) + 1)]

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            round(float(np.interp(x, (min(across), max(across)), (LEFT, RIGHT))), 1),
            round(float(np.interp(y, (grid[0], grid[-1]), (BOTTOM, TOP))), 1),
        )

    def text(x: float, y: float, anchor: str, words: str) -> str:
        return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{words}</text>'

    drawn = [text((LEFT + RIGHT) / 2, HEIGHT - 4, "middle", x_label)]
    for value in grid:
        _, y = place(0, value)
        drawn.append(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y}" y2="{y}"/>')
        drawn.append(text(LEFT - 4, y + 4, "end", f"{value:.3g}"))
    for x, anchor in ((min(across), "start"), (max(across), "end")):
        drawn.append(text(place(x, 0)[0], HEIGHT - 18, anchor, f"{x:.2g}"))
    for style, points in lines.items():
        placed = " ".join(f"{x},{y}" for x, y in (place(*point) for point in points))
        drawn.append(f'<polyline class="{style}" points="{placed}"/>')
    if cursor is not None:
        x, _ = place(cursor, 0)
        drawn.append(f'<line class="cursor" x1="{x}" x2="{x}" y1="{TOP}" y2="{BOTTOM}"/>')
    return (
        f'<figure><figcaption>{title}</figcaption><svg class="chart" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(drawn)}</svg></figure>"
    )


def curves(
    names: Sequence[str],
    measures: Sequence[str] = ("accuracy", "loss"),
    span: Sequence[float] = (),
    epoch: int | None = None,
) -> str:
    """HTML: accuracy and loss over the epochs of one or two networks; `epoch` is read out."""
    histories = {name: rows for name in names if (rows := read_history(name))}
    if not histories:
        return "<p>No training history is shipped with this network.</p>"
    keys, readings, charts = [], [], []
    for number, (name, rows) in enumerate(histories.items()):
        for split, words in (("train", "training"), ("valid", "validation")):
            line = f'<polyline class="{split} n{number}" points="0,4 24,4"/>'
            of = f"{escape(name)}, " if len(histories) > 1 else ""
            keys.append(f'<span><svg viewBox="0 0 24 8">{line}</svg> {of}{words}</span>')
        if epoch is not None and epoch <= len(rows):
            row = rows[epoch - 1]
            train, valid = percent(row["train_accuracy"]), percent(row["valid_accuracy"])
            readings.append(f"{escape(name)}: training {train}, validation {valid}")
    for measure in measures:
        lines = {
            f"{split} n{number}": [(row["epoch"], row[f"{split}_{measure}"]) for row in rows]
            for number, rows in enumerate(histories.values())
            for split in ("train", "valid")
        }
        charts.append(chart(measure.capitalize(), "epoch", lines, span, epoch))
    reading = f"<p>Epoch {epoch}. {'; '.join(readings)}.</p>" if epoch is not None else ""
    return (
        f'<div class="curves"><div class="keys">{"".join(keys)}</div>'
        f'<div class="panels">{"".join(charts)}</div>{reading}</div>'
    )


def reliability(predictions: Sequence[tuple[float, bool]], groups: int = 5) -> str:
    """SVG: of (probability, right or not), how often those of about one probability are right."""
    parts = np.array_split(np.array(sorted(predictions), float), groups)
    points = [(float(part[:, 0].mean()), float(part[:, 1].mean())) for part in parts]
    lines: dict[str, Points] = {"diagonal": [(0, 0), (1, 1)], "valid": points}
    return chart("Fraction that is right", "mean probability of the prediction", lines)
