"""Charts as SVG and HTML, drawn by the page's own style sheet so that both themes are readable."""

import json
import math
from collections.abc import Sequence
from html import escape

from demo.figures import Epoch, read_history
from mobilenetv3_cifar.preprocessing import LABELS

WIDTH, HEIGHT = 380, 210
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 12, 34
NICE = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # distances of grid lines
MAX_LINES = 7
NOTE = "Training accuracy and loss are those within an epoch, with augmentation and dropout."


class Axes:
    """Maps values to pixels and draws the frame of a chart."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        spread = max(y[1] - y[0], NICE[0])
        self.step = next((step for step in NICE if spread / step < MAX_LINES), NICE[-1])
        low, high = math.floor(y[0] / self.step + 1e-9), math.ceil(y[1] / self.step - 1e-9)
        self.x, self.y = x, (low * self.step, max(high, low + 1) * self.step)
        self.lines = [line * self.step for line in range(low, max(high, low + 1) + 1)]

    def point(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        down = HEIGHT - BOTTOM
        return LEFT + across * (WIDTH - LEFT - RIGHT), down - up * (down - TOP)

    def line(self, points: Sequence[tuple[float, float]], style: str) -> str:
        placed = " ".join(f"{a:.1f},{b:.1f}" for a, b in (self.point(*each) for each in points))
        return f'<polyline class="{style}" points="{placed}"/>'

    def draw(self, title: str, x_label: str, percent: bool, content: str) -> str:
        marks = []
        for value in self.lines:
            _, y = self.point(self.x[0], value)
            text = f"{100 * value:.0f} %" if percent else f"{value:.2g}"
            marks.append(
                f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text x="{LEFT - 4}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
            )
        for value, anchor in zip(self.x, ("start", "end"), strict=True):
            x, _ = self.point(value, self.y[0])
            shown = f"{100 * value:.0f} %" if self.x[1] <= 1 else f"{value:.0f}"
            marks.append(
                f'<text x="{x:.1f}" y="{HEIGHT - 18}" text-anchor="{anchor}">{shown}</text>'
            )
        middle = (LEFT + WIDTH - RIGHT) / 2
        marks.append(f'<text x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">{x_label}</text>')
        return (
            f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{escape(title)}">{"".join(marks)}{content}</svg>'
        )


def curves(
    names: Sequence[str], losses: bool = True, accuracies: tuple[float, float] | None = None
) -> str:
    """Accuracy, and loss, over the epochs of one or two networks, with a slider over the epochs.

    Args:
        accuracies: what the axis of accuracies holds at least, to compare several charts.
    """
    histories = {name: read_history(name) for name in names if read_history(name)}
    if not histories:
        return "<p>No training history is shipped with this network.</p>"
    panels = panel_of(histories, "accuracy", accuracies or ())
    panels += panel_of(histories, "loss") if losses else ""
    longest = max(len(history) for history in histories.values())
    data = {name: [epoch[1:] for epoch in rows] for name, rows in histories.items()}
    return (
        f'<div class="curves" data-epochs="{escape(json.dumps(data))}">{keys(list(histories))}'
        f'<div class="panels">{panels}</div><div class="epochs"><label>Epoch <input type="range" '
        f'class="epoch" min="1" max="{longest}" value="{longest}" step="1"></label>'
        '<output class="reading"></output></div></div>'
    )


def keys(names: Sequence[str]) -> str:
    """Which line is which."""
    drawn = []
    for number, name in enumerate(names):
        for split, words in (("train", "training"), ("valid", "validation")):
            text = f"{escape(name)}, {words}" if len(names) > 1 else words
            line = f'<polyline class="{split} n{number}" points="0,4 24,4"/>'
            svg = f'<svg viewBox="0 0 24 8" aria-hidden="true">{line}</svg>'
            drawn.append(f"<span>{svg} {text}</span>")
    return f'<div class="keys">{"".join(drawn)}</div>'


def panel_of(
    histories: dict[str, tuple[Epoch, ...]], what: str, least: Sequence[float] = ()
) -> str:
    lines = {
        f"{split} n{number}": [(row.epoch, getattr(row, f"{split}_{what}")) for row in rows]
        for number, rows in enumerate(histories.values())
        for split in ("train", "valid")
    }
    values = [*least, *(y for points in lines.values() for _, y in points)]
    last = max(2, *(x for points in lines.values() for x, _ in points))
    axes = Axes((1, last), (min(values), max(values)))
    drawn = "".join(axes.line(points, style) for style, points in lines.items())
    left, right = axes.point(1, 0)[0], axes.point(last, 0)[0]
    cursor = (
        f'<line class="cursor" data-left="{left}" data-right="{right}" data-last="{last}" '
        f'x1="{right}" x2="{right}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
    )
    title = f"{what.capitalize()} over the epochs of {' and '.join(histories)}"
    chart = axes.draw(title, "epoch", what == "accuracy", drawn + cursor)
    return f"<figure><figcaption>{what.capitalize()}</figcaption>{chart}</figure>"


def reliability(rows: Sequence[tuple[float, bool]], bins: int = 5) -> str:
    """Of predictions (probability, right or not): how often those of a probability are right."""
    axes = Axes((0, 1), (0, 1))
    content = [axes.line([(0, 0), (1, 1)], "diagonal")]
    for index in range(bins):
        low, high = index / bins, (index + 1) / bins
        inside = [right for value, right in rows if low < value <= high]
        if not inside:
            continue
        right = sum(inside) / len(inside)
        (left, top), (end, bottom) = axes.point(low, right), axes.point(high, 0)
        tip = f"{low:.0%} to {high:.0%} sure: {right:.0%} of {len(inside)} right"
        content.append(
            f'<rect class="bin" x="{left + 2:.1f}" y="{top:.1f}" width="{end - left - 4:.1f}" '
            f'height="{bottom - top:.1f}"><title>{tip}</title></rect>'
            f'<text x="{(left + end) / 2:.1f}" y="{min(top - 3, bottom - 3):.1f}" '
            f'text-anchor="middle">{len(inside)}</text>'
        )
    title = f"How often predictions of a probability are right, over {len(rows)} test images"
    return axes.draw(title, "probability of the prediction", True, "".join(content))


def confusion(matrix: Sequence[Sequence[int]]) -> str:
    """Rows true, columns predicted; a cell is a button that sends "truth:predicted"."""
    mistakes = [[n for label, n in enumerate(row) if label != i] for i, row in enumerate(matrix)]
    most = max(1, *map(max, mistakes))
    head = "".join(f'<th scope="col"><span>{label}</span></th>' for label in LABELS)
    rows = []
    for truth, counts in zip(LABELS, matrix, strict=True):
        cells = "".join(
            f'<td><button type="button" data-id="{truth}:{label}" '
            f'class="{"right" if truth == label else "wrong"}" '
            f'style="--part:{min(1, count / most):.2f}" '
            f'aria-label="{truth} predicted {label}: {count}">{count}</button></td>'
            for label, count in zip(LABELS, counts, strict=True)
        )
        rows.append(f'<tr><th scope="row">{truth}</th>{cells}</tr>')
    return (
        "<h2>Confusion matrix of all 10,000 test images</h2><p>Rows: the true class. Columns: the "
        "prediction. A cell shows its images among the 300 above.</p>"
        '<div class="table matrix" role="region" tabindex="0" aria-label="Confusion matrix"><table>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
