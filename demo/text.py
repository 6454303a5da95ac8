"""Write the text that the demo shows for a prediction, and captions for its activation maps."""

import json
from collections.abc import Iterator
from html import escape

from demo.answers import Answer
from demo.markup import Map, maps, message, percent
from demo.sample import ASSETS
from mobilenetv3_cifar.explanation import METHODS

PHOTOGRAPHS_FILE = ASSETS / "photographs.json"  # written by `python -m benchmarks.photographs`


def describe(answer: Answer) -> str:
    label, probability = answer.label, percent(answer.probabilities[answer.label])
    if answer.probabilities.probably_none:
        headline = "Probably none of the ten classes"
        detail = f"Of the ten, <b>{escape(label)}</b> fits best ({probability})."
    elif answer.is_reduced:
        headline = f"{escape(label).capitalize()} fits best"
        detail = f"It is the likeliest of the ten classes, with a probability of {probability}."
    else:
        headline = f"{'An' if label[0] in 'aeiou' else 'A'} <b>{escape(label)}</b>"
        detail = f"The network predicts it with a probability of {probability}."
    if answer.is_reduced:
        detail += f" {describe_photographs(answer.variant)}"
    return message(headline, f"{detail} Computed in {1000 * answer.seconds:.0f} ms.")


def describe_photographs(variant: str) -> str:
    """Say which photographs suit a network. State its accuracy on photographs if it is known."""
    advice = "The network was trained on images of 32x32 pixels, so let one object fill the photo."
    measured = json.loads(PHOTOGRAPHS_FILE.read_text(encoding="utf-8"))
    row = measured["variants"].get(variant)
    if row is None:
        return advice
    known, none = row["wrongly flagged as none"], row["correctly flagged as none"]
    return (
        f"{advice} Of {measured['photographs']} photographs that show one of the classes, the "
        f"network classified {percent(row['accuracy'], 0)} correctly, and said “probably none” for "
        f"{percent(known, 0)}. Of {measured['none']} photographs of other things, it said "
        f"“probably none” for {percent(none, 0)}."
    )


def describe_refusal(error: Exception) -> str:
    return message("This image cannot be used", escape(as_sentence(str(error))))


def as_sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def draw(answer: Answer) -> str:
    return maps(answer.image, maps_of(answer))


def maps_of(answer: Answer) -> Iterator[Map]:
    drawn = zip(answer.explanations, answer.heatmaps(), strict=True)
    for number, (explained, heatmap) in enumerate(drawn, 1):
        label = escape(explained.label)
        caption = f"<b>{label}</b> {percent(explained.probability)}"
        meaning = f"evidence for {label}"
        if not METHODS[answer.method].uses_class:
            caption = "The strongest pattern, independent of the class"
            meaning = "part of the strongest pattern"
        if len(set(answer.layers)) > 1:
            caption += f"<br>layer {number} of {len(answer.layers)}"
        alt = f"The image overlaid with a map that is bright where a region is {meaning}"
        if heatmap is None:
            caption += "<br>no evidence"
            alt = f"The image without a map: no region is {meaning}"
        yield Map(heatmap, caption, alt)
