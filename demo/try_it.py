"""The first tab: one image, asked of one network, of all networks, or changed by the visitor."""

from collections import Counter
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from demo import answers, editor
from demo.answers import PREDICTED, Answer
from demo.markup import bars, button, legend, maps, message, pixels
from demo.parts import ASK, LOCAL, choice, panel, variant_input
from demo.safe_image import Opened, SafeImage
from demo.sample import example_files, file_of
from demo.text import describe, describe_refusal, maps_of
from mobilenetv3_cifar.errors import ImageError
from mobilenetv3_cifar.explanation import METHODS, Method
from mobilenetv3_cifar.preprocessing import LABELS

ONE, ALL, CHANGE = "one", "all", "change"
VIEWS = [("One network", ONE), ("All networks", ALL), ("Fool it", CHANGE)]
CLASS, CLASSES, LAYERS = "class", "classes", "layers"
SHOWN = [
    ("for one class", CLASS),
    ("for the three likeliest classes", CLASSES),
    ("at every layer", LAYERS),
]
EMPTY = message("", "Choose an image or take an example.")


def build() -> dict[str, Any]:
    """Fill the tab; return the components whose values the address of the page holds."""
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            image = SafeImage(
                label="Your image",
                sources=["upload", "clipboard", "webcam"],
                height=260,
                buttons=[],
                elem_id="image",
            )
            examples = panel(example_tiles(), "examples")
            variant = variant_input("Network", "network")
        with gr.Column(scale=3, min_width=280):
            view = gr.Radio(VIEWS, value=ONE, label="View", container=False, elem_id="view")
            with gr.Column(visible=False) as editing:
                changed = editor.build()
            result = panel(EMPTY, "answer")
            panel(legend())
            with gr.Row() as settings:
                shown = choice("Maps", SHOWN, "maps")
                target = choice("Class", [("the prediction", PREDICTED), *LABELS], "class")
                methods = [(each.title, name) for name, each in METHODS.items()]
                method = choice("Method", methods, "method")
    examples.select(example, None, image, **LOCAL)
    view.change(
        lambda view: [gr.Column(visible=view == CHANGE), gr.Row(visible=view == ONE)],
        view,
        [editing, settings],
        **LOCAL,
    )
    shown.change(lambda value: gr.Dropdown(visible=value != CLASSES), shown, target, **LOCAL)
    questions: list[Any] = [view, image, variant, shown, target, method]
    gr.on([each.change for each in questions], ask, questions, result, **ASK)
    # No progress is shown, since the bars are to move while a slider does.
    quiet = ASK | {"show_progress": "hidden"}
    gr.on([changed.input, variant.change], ask_changed, [view, changed, variant], result, **quiet)
    return {
        "image": image,
        "network": variant,
        "view": view,
        "maps": shown,
        "class": target,
        "method": method,
    }


def example_tiles() -> str:
    tiles = (button(file.stem, pixels(Image.open(file)), file.stem) for file in example_files())
    return f'<div class="tiles">{"".join(tiles)}</div>'


def example(event: gr.EventData) -> Path | None:
    return file_of(str(event.id))


def ask(
    view: str, image: Opened, variant: str, shown: str, target: str, method: Method
) -> str | dict[str, Any]:
    """HTML: the answer for the visitor's image as it is."""
    if not isinstance(image, Image.Image):
        return describe_refusal(image) if image else EMPTY
    if view == CHANGE:
        return gr.skip()  # the editor will send what it makes of the image
    if view == ALL:
        return show_all(answers.compare(image))
    return show_one(ask_one(image, variant, shown, target, method))


def ask_changed(view: str, changed: str | None, variant: str) -> str | dict[str, Any]:
    """HTML: the answer for the image as the visitor changed it, the bars in a fixed order."""
    if view != CHANGE or not changed:
        return gr.skip()
    try:
        answer = answers.answer(editor.decode(changed), variant)
    except ImageError as error:
        return describe_refusal(error)
    likely = bars(sorted(answer.probabilities.items()))
    return f'{describe(answer)}<div class="beside">{likely}{draw(answer)}</div>'


def ask_one(image: Image.Image, variant: str, shown: str, target: str, method: Method) -> Answer:
    if shown == LAYERS:
        names = answers.load_torch(variant).layers()
        return answers.answer(image, variant, method, [target], names)
    if shown == CLASSES:
        likeliest = answers.answer(image, variant, method).top(3)
        return answers.answer(image, variant, method, [label for label, _ in likeliest])
    return answers.answer(image, variant, method, [target])


def show_one(answer: Answer) -> str:
    crops = "".join(pixels(image, "What the network gets") for image in answer.inputs)
    averaged = f", averaged over {len(answer.inputs)} crops" if len(answer.inputs) > 1 else ""
    gets = f'<div class="gets">What the network gets{averaged}:<div>{crops}</div></div>'
    likely, drawn = bars(answer.top(5)), draw(answer)
    if len(answer.explanations) == 1:
        return f'{describe(answer)}<div class="beside">{likely}{drawn}{gets}</div>'
    return f'{describe(answer)}<div class="beside">{likely}{gets}</div>{drawn}'


def draw(answer: Answer) -> str:
    """All maps of an answer; those of several classes share one scale."""
    name = f"{answer.label}-{answer.variant}-{answer.method}"
    return maps(answer.image, maps_of(answer), name)


def show_all(found: list[Answer]) -> str:
    votes = Counter(each.label for each in found).most_common()
    summary = ", ".join(f"<b>{escape(label)}</b> {count} of {len(found)}" for label, count in votes)
    drawn = []
    for each in found:
        (one,) = maps_of(each)
        none = ", probably none" if each.probabilities.probably_none else ""
        caption = f"{one.caption}{none}<br>{escape(each.variant)}"
        drawn.append(one._replace(caption=caption, alt=f"{each.variant}: {one.alt}"))
    note = "The same image, every network, the best first. Each map has its own scale."
    return message(summary, note) + maps(found[0].image, drawn, "all-networks")
