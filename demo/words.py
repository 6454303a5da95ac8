"""What the page says in words: networks, answers and maps, so that anyone understands them."""

from demo.answers import Answer
from mobilenetv3_cifar.variants import list_variants

METHODS = [
    ("Grad-CAM", "gradcam"),
    ("Grad-CAM++", "gradcam++"),
    ("LayerCAM", "layercam"),
    ("HiResCAM", "hirescam"),
    ("EigenCAM (the same for every kind)", "eigencam"),
]


def choices_of_variants() -> list[tuple[str, str]]:
    """Each variant as the page shows it, and its name."""
    return [
        (
            f"{variant.name} · {measured(variant.accuracy)} · {variant.bytes / 1e6:.1f} MB",
            variant.name,
        )
        for variant in list_variants()
    ]


def percent(fraction: float) -> str:
    """A probability."""
    return f"{100 * fraction:.1f} %"


def measured(fraction: float) -> str:
    """A share of the 10,000 test pictures, exactly; of others nearly."""
    return f"{100 * fraction:.2f} %"


def describe(found: Answer) -> str:
    """The answer, how sure, how long it took; then what there is to know of its map."""
    label = found.label
    parts = [f"### {article(label)} **{label}**, {percent(found.probabilities[label])} sure"]
    if found.unsure:
        parts.append("That is not sure at all: perhaps the picture shows none of the ten kinds.")
    explained = found.explanation
    if explained.blank:
        parts.append(f"The map is blank: no part of the picture {speaks(found)}.")
    elif found.method == "eigencam":
        parts.append("The map shows the strongest pattern, whatever kind it speaks for.")
    elif explained.label != label:
        parts.append(
            f"The map shows what speaks for *{explained.label}* ({percent(explained.probability)})."
        )
    looks = ", by a look at all of it and two at its middle; the map is of the surest"
    looks = looks if found.looks > 1 else ""
    parts.append(f"Found in {found.seconds:.2f} seconds{looks}.")
    return f"{parts[0]}\n\n{' '.join(parts[1:])}"


def describe_map(found: Answer) -> str:
    """The alternative text of a map."""
    if found.explanation.blank:
        return f"The picture without a map: no part of it {speaks(found)}"
    return f"The picture under a map: red where something {speaks(found)}"


def speaks(found: Answer) -> str:
    """What a part of the picture does that its map shows."""
    if found.method == "eigencam":
        return "is part of the strongest pattern"
    return f"speaks for {found.explanation.label}"


def describe_refusal(error: Exception) -> str:
    """Why there is no answer, in the place of the answer."""
    return f"### That did not work\n\n{as_sentence(str(error))}"


def as_sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def article(noun: str) -> str:
    return "An" if noun[0] in "aeiou" else "A"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown: the first column to the left, the others, which are numbers, to the right."""
    lines = [head, [":--", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
