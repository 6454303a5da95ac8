"""The report's claims and its order of settings as tables, and as JSON for the demo."""

import json
from collections import Counter

from training.reports import original_rules
from training.reports.claims import CLAIMS, Claim, compare_order, judge, judge_originally
from training.reports.markdown import table
from training.reports.results import ResultsByName


def order_summary(results: ResultsByName) -> str:
    """Whether our settings are in the report's order, and a line for each pair that is not."""
    pairs = compare_order(results)
    if not pairs:
        return "No two settings can be compared yet."
    words = {"confirmed": "in the same order", "not decidable": "tied", "not confirmed": "reversed"}
    counts = Counter(finding.verdict for _, _, finding in pairs)
    same, total = original_rules.count_order(results)
    lines = [
        f"Of {len(pairs)} such pairs, "
        f"{', '.join(f'{counts[verdict]} are {word}' for verdict, word in words.items())}. "
        f"The original rule, which took two standard deviations of our difference and knew no "
        f"ties, found {same} of {total} in the same order."
    ]
    lines += [
        f"- `{one}` over `{other}`, {words[finding.verdict]}: {finding.figures}"
        for one, other, finding in pairs
        if finding.verdict != "confirmed"
    ]
    return "\n".join(lines)


def claims_table(results: ResultsByName) -> str:
    heads = ["where", "experiment", "claim", "verdict", "original verdict", "numbers"]
    return table(heads, [claim_cells(claim, results) for claim in CLAIMS])


def claim_cells(claim: Claim, results: ResultsByName) -> list[str]:
    finding, original = judge(claim, results), judge_originally(claim, results)
    before = "not judged" if original is None else original
    if original not in (None, finding.verdict):
        before = f"**{before}**"
    experiment = f"`{claim.needs[0]}`" if claim.needs else "all"
    return [claim.where, experiment, claim.says, f"**{finding.verdict}**", before, finding.figures]


def conclusions_json(results: ResultsByName) -> bytes:
    """The claims and verdicts as a JSON list, for the demo."""
    entries = []
    for claim in CLAIMS:
        finding = judge(claim, results)
        entries.append(
            {
                "where": claim.where,
                "experiment": claim.needs[0] if claim.needs else None,
                "says": claim.says,
                "verdict": finding.verdict,
                "original_verdict": judge_originally(claim, results),
                "figures": finding.figures,
            }
        )
    return (json.dumps(entries, indent=2, ensure_ascii=False) + "\n").encode()
