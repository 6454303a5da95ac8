"""Show the student report's conclusions and our verdicts on them in the demo's fifth tab.

This tab shows assets/conclusions.json, which `python -m training.reproduce` writes together with
REPRODUCTION.md. The keys of each entry are `where` (the place in the report), `experiment`, `says`
(the conclusion), `verdict`, `figures` (our numbers) and `original_verdict` (the verdict by the
rules of 22 November, which REPRODUCTION.md explains).
"""

import json
from collections import Counter
from html import escape
from itertools import groupby
from typing import Any

import gradio as gr

from demo.charts import curves
from demo.parts import panel
from demo.sample import ASSETS
from mobilenetv3_cifar.variants import list_variants

FILE = ASSETS / "conclusions.json"
OURS = "not in the report"  # the value of `where` for our own claims
INTRODUCTION = (
    "The report *Classification of the CIFAR-10 dataset using MobileNetV3* draws conclusions from "
    "its experiments. We repeated them. Open a conclusion to see our numbers."
)


def build(tab: gr.Tab) -> dict[str, Any]:
    gr.Markdown(INTRODUCTION)
    panel(page(json.loads(FILE.read_text(encoding="utf-8"))), "conclusions")
    return {}


def page(found: list[dict[str, Any]]) -> str:
    """Return HTML with each experiment's conclusions, followed by the experiment's curves."""
    of_report = [each["verdict"] for each in found if each["where"] != OURS]
    counts = Counter(of_report).most_common()
    summary = ", ".join(f"<b>{count}</b> {verdict}" for verdict, count in counts)
    shipped = {variant.name for variant in list_variants()}
    sections = f"<p>Of the report's {len(of_report)} conclusions: {summary}.</p>"
    for name, rows in groupby(found, key=lambda row: row["experiment"]):
        sections += f"<h2>{name or 'All experiments'}</h2>{''.join(map(conclusion, rows))}"
        sections += curves([name]) if name in shipped else ""
    return sections


def conclusion(row: dict[str, Any]) -> str:
    """Return HTML with a conclusion and its verdict. A click on it shows our measurements."""
    verdict, original = row["verdict"], row["original_verdict"]
    figures = row["figures"].replace("`", "").split("; ")
    if original not in (None, verdict):
        figures.append(f"by the original rules: {original}")
    listed = "".join(f"<li>{escape(each)}</li>" for each in figures)
    return (
        f'<details><summary><b class="{verdict.replace(" ", "-")}">{verdict}</b>: '
        f"{escape(row['says'])} ({row['where']})</summary><ul>{listed}</ul></details>"
    )
