"""Sentences of the page about networks, answers and maps."""

from html import escape

from demo.answers import Answer
from demo.markup import percent
from mobilenetv3_cifar.variants import list_variants


def variant_choices() -> list[tuple[str, str]]:
    """Each variant as the page shows it, and its name."""
    return [
        (
            f"{variant.name} · {accuracy(variant.accuracy)} · {variant.bytes / 1e6:.1f} MB",
            variant.name,
        )
        for variant in list_variants()
    ]


def accuracy(fraction: float) -> str:
    """A measured fraction of many images, in percent with two decimals."""
    return f"{100 * fraction:.2f} %"


def describe(answer: Answer) -> str:
    """HTML: the answer in a headline, then what there is to know about it."""
    label, probability = answer.label, answer.probabilities[answer.label]
    if answer.probabilities.probably_none:
        headline = "Probably none of the ten classes"
        detail = f"Of the ten, <b>{escape(label)}</b> fits best ({percent(probability)})."
    elif answer.is_photograph:
        headline = f"{escape(label).capitalize()} fits best"
        detail = (
            f"Of the ten classes, at {percent(probability)}. The network learned from images of 32 "
            "by 32 pixels and is much less reliable on photographs: fill the image with one object."
        )
    else:
        headline = f"{article(label)} <b>{escape(label)}</b>"
        detail = f"The network gives it {percent(probability)}."
    time = f"{1000 * answer.seconds:.0f} ms"
    crops = f"Averaged over {len(answer.inputs)} crops. " if len(answer.inputs) > 1 else ""
    return (
        f'<div class="answer" aria-live="polite"><h2>{headline}</h2>'
        f"<p>{detail} {crops}Computed in {time}.</p></div>"
    )


def describe_map(answer: Answer, index: int = 0) -> str:
    """The alternative text of a map."""
    explained = answer.explanations[index]
    if explained.blank:
        return f"The image without a map: no region {evidence(answer, explained.label)}"
    return f"The image under a map, bright where a region {evidence(answer, explained.label)}"


def evidence(answer: Answer, label: str) -> str:
    """What a region of the image does that its map shows."""
    if answer.method == "eigencam":
        return "is part of the strongest pattern"
    return f"is evidence for {label}"


def describe_refusal(error: Exception) -> str:
    """HTML: why there is no answer, where the answer would be."""
    return (
        '<div class="answer" aria-live="polite"><h2>This image cannot be used</h2>'
        f"<p>{escape(as_sentence(str(error)))}</p></div>"
    )


def as_sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def article(noun: str) -> str:
    return "An" if noun[0] in "aeiou" else "A"
