"""The fifth tab: what the report concludes, and whether our measurements confirm it.

Reads assets/conclusions.json, which `python -m training.reproduce` writes with REPRODUCTION.md: a
list of objects with the keys of `Conclusion`.
"""

import json
from collections import Counter
from html import escape
from typing import TypedDict

import gradio as gr

from demo.charts import curves
from demo.parts import LOCAL, panel, scroll_to, selectable
from demo.sample import ASSETS
from mobilenetv3_cifar.variants import list_variants

FILE = ASSETS / "conclusions.json"
INTRODUCTION = (
    "The report *Classification of the CIFAR-10 dataset using MobileNetV3* draws conclusions from "
    "its experiments. We ran them again. Choose a row to see the curves it is about."
)
CHOOSE = "<p>Choose a conclusion to see its curves.</p>"
MISSING = (
    "<p>No conclusions are shipped: <code>python -m training.reproduce</code> writes them.</p>"
)


class Conclusion(TypedDict):
    where: str  # in the report
    experiment: str | None
    says: str
    verdict: str
    original_verdict: str | None  # by the rules that were fixed before the runs
    figures: str


def build() -> None:
    gr.Markdown(INTRODUCTION)
    found = read()
    rows = selectable(table(found) if found else MISSING, "conclusions")
    shown = panel(CHOOSE if found else "", "conclusion")
    rows.select(show, None, shown, **LOCAL).then(**scroll_to("conclusion"))


def read() -> list[Conclusion]:
    """The conclusions; empty where the file has not been written."""
    if not FILE.exists():
        return []
    rows: list[Conclusion] = json.loads(FILE.read_text(encoding="utf-8"))
    return rows


def table(found: list[Conclusion]) -> str:
    counts = Counter(each["verdict"] for each in found).most_common()
    summary = ", ".join(f"<b>{count}</b> {escape(verdict)}" for verdict, count in counts)
    rows = "".join(
        f'<tr><td><button type="button" data-id="{number}">{escape(each["says"])}</button></td>'
        f'<td><span class="verdict {escape(each["verdict"].replace(" ", "-"))}">'
        f"{escape(each['verdict'])}</span></td><td>{escape(each['experiment'] or '')}</td>"
        f"<td>{escape(each['where'])}</td></tr>"
        for number, each in enumerate(found)
    )
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("The report says", "We find", "Experiment", "Where in the report")
    )
    return (
        f'<p>Of {len(found)} conclusions: {summary}.</p><div class="table conclusions" '
        'role="region" tabindex="0" aria-label="Conclusions of the report"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def show(event: gr.EventData) -> str:
    """HTML: one conclusion with its verdict, figures and curves."""
    found = read()
    number = str(event.id)
    if not number.isdigit() or int(number) >= len(found):
        return CHOOSE
    row = found[int(number)]
    shipped = {variant.name for variant in list_variants()}
    drawn = curves([row["experiment"]]) if row["experiment"] in shipped else ""
    original = row["original_verdict"]
    former = f"<p>By the original rules: {escape(original)}.</p>" if original else ""
    figures = "".join(
        f"<li>{escape(each)}</li>" for each in row["figures"].replace("`", "").split("; ")
    )
    return (
        f'<div aria-live="polite"><h2>{escape(row["says"])}: {escape(row["verdict"])}</h2>'
        f"<ul>{figures}</ul>{former}</div>{drawn}"
    )
