"""Charts as SVG and HTML, drawn by the page's own style sheet so that both themes are readable."""

import json
from collections.abc import Sequence
from html import escape

from demo.figures import Epoch, read_history
from mobilenetv3_cifar.preprocessing import LABELS

WIDTH, HEIGHT = 380, 210
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 12, 34
TICKS = 4


class Axes:
    """Maps values to pixels and draws the frame of a chart."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x, self.y = x, y

    def point(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x[0]) / ((self.x[1] - self.x[0]) or 1)
        up = (y - self.y[0]) / ((self.y[1] - self.y[0]) or 1)
        down = HEIGHT - BOTTOM
        return LEFT + across * (WIDTH - LEFT - RIGHT), down - up * (down - TOP)

    def line(self, points: Sequence[tuple[float, float]], style: str) -> str:
        placed = " ".join(f"{a:.1f},{b:.1f}" for a, b in (self.point(*each) for each in points))
        return f'<polyline class="{style}" points="{placed}"/>'

    def draw(self, title: str, x_label: str, percent: bool, content: str) -> str:
        marks = []
        for step in range(TICKS + 1):
            value = self.y[0] + (self.y[1] - self.y[0]) * step / TICKS
            _, y = self.point(self.x[0], value)
            text = f"{100 * value:.0f} %" if percent else f"{value:.2f}"
            marks.append(
                f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text x="{LEFT - 4}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
            )
        for value, anchor in ((self.x[0], "start"), (self.x[1], "end")):
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


def curves(names: Sequence[str], losses: bool = True) -> str:
    """Accuracy, and loss, over the epochs of one or two networks, with a slider over the epochs."""
    histories = {name: read_history(name) for name in names if read_history(name)}
    if not histories:
        return "<p>No training history is shipped with this network.</p>"
    panels = panel_of(histories, "accuracy") + (panel_of(histories, "loss") if losses else "")
    longest = max(len(history) for history in histories.values())
    data = {name: [epoch[1:] for epoch in rows] for name, rows in histories.items()}
    keys = "".join(
        f'<span><svg class="key" viewBox="0 0 24 8" aria-hidden="true">'
        f'<polyline class="{split} n{number}" points="0,4 24,4"/></svg> '
        f"{escape(name)}, {words}</span>"
        for number, name in enumerate(histories)
        for split, words in (("train", "training"), ("valid", "validation"))
    )
    return (
        f"<div class=\"curves\" data-epochs='{escape(json.dumps(data))}'>"
        f'<div class="keys">{keys}</div><div class="panels">{panels}</div>'
        f'<label>Epoch <input type="range" class="epoch" min="1" max="{longest}" '
        f'value="{longest}" step="1"></label> '
        '<output class="reading" aria-live="polite"></output></div>'
    )


def panel_of(histories: dict[str, tuple[Epoch, ...]], what: str) -> str:
    lines = {
        (number, split): [(row.epoch, getattr(row, f"{split}_{what}")) for row in rows]
        for number, rows in enumerate(histories.values())
        for split in ("train", "valid")
    }
    values = [y for points in lines.values() for _, y in points]
    last = max(x for points in lines.values() for x, _ in points)
    axes = Axes((1, max(last, 2)), (min(values), max(values)))
    drawn = "".join(
        axes.line(points, f"{split} n{number}") for (number, split), points in lines.items()
    )
    low, high = axes.point(1, 0)[0], axes.point(axes.x[1], 0)[0]
    cursor = (
        f'<line class="cursor" data-from="{low}" data-to="{high}" data-last="{axes.x[1]}" '
        f'x1="{high}" x2="{high}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
    )
    title = f"{what.capitalize()} over the epochs of {' and '.join(histories)}"
    heading = f"<figcaption>{what.capitalize()}</figcaption>"
    chart = axes.draw(title, "epoch", what == "accuracy", drawn + cursor)
    return f"<figure>{heading}{chart}</figure>"


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
        "<h3>Confusion matrix of all 10,000 test images</h3><p>Rows: the true class. Columns: the "
        "prediction. A cell shows its images among the 300 above.</p>"
        '<div class="table matrix" role="region" tabindex="0" aria-label="Confusion matrix"><table>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
