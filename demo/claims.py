"""Show the student report's claims, with our verdicts, in the demo's fifth tab.

`python -m training.reproduce` writes assets/claims.json. In each entry, `where` is the place in the
report, `says` is the claim, and `numbers` are our numbers. REPRODUCTION.md explains our current
rules, which decide `verdict`, and our original rules, which decided `original_verdict`.
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

FILE = ASSETS / "claims.json"
INTRODUCTION = (
    "We repeated the experiments of the student report *Classification of the CIFAR-10 dataset "
    "using MobileNetV3*, and checked its claims. Open a claim to see our numbers. The "
    "number after ± is a margin, for example half the width of a 95 % confidence interval. A "
    "difference or change within its margin counts as 0: a claim that something stays the same is "
    "then confirmed, and a claim that something is higher or lower is not decidable."
)


def build(tab: gr.Tab) -> dict[str, Any]:
    gr.Markdown(INTRODUCTION)
    panel(page(json.loads(FILE.read_text(encoding="utf-8"))), "claims")
    return {}


def page(claims: list[dict[str, Any]]) -> str:
    of_report = [each["verdict"] for each in claims if each["where"] != "not in the report"]
    counts = Counter(of_report).most_common()
    summary = ", ".join(f"<b>{count}</b> {verdict}" for verdict, count in counts)
    shipped = {variant.name for variant in list_variants()}
    sections = f"<p>Of the report's {len(of_report)} claims: {summary}.</p>"
    for name, rows in groupby(claims, key=lambda row: row["experiment"]):
        sections += f"<h2>{name or 'All experiments'}</h2>{''.join(map(entry, rows))}"
        sections += curves([name]) if name in shipped else ""
    return sections


def entry(claim: dict[str, Any]) -> str:
    verdict, original = claim["verdict"], claim["original_verdict"]
    numbers = claim["numbers"].replace("`", "").split("; ")
    if original not in (None, verdict):
        numbers.append(f"by our original rules: {original}")
    listed = "".join(f"<li>{escape(each)}</li>" for each in numbers)
    return (
        f'<details><summary><b class="{verdict.replace(" ", "-")}">{verdict}</b>: '
        f"{escape(claim['says'])} ({claim['where']})</summary><ul>{listed}</ul></details>"
    )
