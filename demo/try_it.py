"""Define the demo's first tab, where visitors classify an image and edit it to fool a network."""

import math
from collections import Counter
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image, ImageDraw, ImageFilter

from demo import answers
from demo.answers import PREDICTED, Answer
from demo.markup import bars, button, legend, maps, message, pixels
from demo.parts import ASK, LOCAL, Opened, choice, panel, safe_image, variant_input
from demo.sample import example_files, file_of
from demo.text import describe, describe_refusal, draw, maps_of
from mobilenetv3_cifar.explanation import METHODS, Method
from mobilenetv3_cifar.preprocessing import LABELS, NATIVE_SIZE, to_square

ONE, ALL, CHANGE = "one", "all", "change"
VIEWS = [("One network", ONE), ("All networks", ALL), ("Fool it", CHANGE)]
CLASS, CLASSES, LAYERS = "class", "classes", "layers"
SHOWN = [("of one class", CLASS), ("of the top three classes", CLASSES), ("at every layer", LAYERS)]
CHANGES = {  # name: (minimum, maximum, step, start); lengths are fractions of width or height
    "Rotate": (-180, 180, 1, 0),
    "Zoom": (0.5, 4, 0.05, 1),
    "Shift across": (-0.5, 0.5, 0.01, 0),
    "Shift down": (-0.5, 0.5, 0.01, 0),
    "Blur": (0, 0.2, 0.005, 0),
    "Hide: size": (0, 1, 0.05, 0),
    "Hide: across": (0, 1, 0.01, 0.5),
    "Hide: down": (0, 1, 0.01, 0.5),
}
HIDDEN_SIZE = 0.3  # diameter of the part that a click hides, as a fraction of the longer side
GREY = (127, 127, 127)  # colour of hidden parts, and of the area outside the image
EMPTY = message("", f"Choose an image or an example. The ten classes: {', '.join(LABELS)}.")


def build(tab: gr.Tab) -> dict[str, Any]:
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            image = safe_image(
                label="Your image",
                sources=["upload", "clipboard", "webcam"],
                height=260,
                buttons=[],
                elem_id="image",
            )
            tiles = (button(file.stem, pixels(Image.open(file))) for file in example_files())
            examples = panel(f'<div class="tiles">{"".join(tiles)}</div>', "examples")
            variant = variant_input("network")
        with gr.Column(scale=3, min_width=280):
            view = gr.Radio(VIEWS, value=ONE, label="View", container=False, elem_id="view")
            with gr.Column(visible=False, elem_id="changes") as changing:
                with gr.Row():
                    sliders = [
                        gr.Slider(least, most, start, step=step, label=name, min_width=140)
                        for name, (least, most, step, start) in CHANGES.items()
                    ]
                with gr.Row(elem_id="undo"):
                    gr.Markdown("Click or tap the map to hide a part of the image.")
                    undo = gr.Button("Undo all changes", size="sm", min_width=140, scale=0)
            result = panel(EMPTY, "answer")
            panel(legend(), "legend")
            with gr.Row() as settings:
                shown = choice("Maps", SHOWN, "maps")
                target = choice("Class", [("the prediction", PREDICTED), *LABELS], "class")
                methods = [(each.title, name) for name, each in METHODS.items()]
                method = choice("Method", methods, "method")
    examples.select(example, None, image, **LOCAL)
    view.change(open_view, view, [changing, settings, variant], **LOCAL)
    shown.change(lambda value: gr.Dropdown(visible=value != CLASSES), shown, target, **LOCAL)
    questions: list[Any] = [view, image, variant, shown, target, method]
    asked = [*questions, *sliders]
    gr.on([each.change for each in questions], ask, asked, result, **ASK)
    # A progress display would hide the probabilities while a visitor moves a slider.
    quiet = ASK | {"show_progress": "hidden"}
    gr.on([each.change for each in sliders], ask, asked, result, **quiet)
    undo.click(lambda: [start for *_, start in CHANGES.values()], None, sliders, **LOCAL)
    result.select(hide, view, sliders[-3:], **LOCAL)
    names = ("view", "image", "network", "maps", "class", "method")
    return dict(zip(names, questions, strict=True))


def example(event: gr.EventData) -> Path | None:
    return file_of(str(event.id))


def open_view(view: str) -> list[gr.Component | gr.blocks.BlockContext]:
    return [
        gr.Column(visible=view == CHANGE),
        gr.Row(visible=view == ONE),
        gr.Dropdown(visible=view != ALL),
    ]


def hide(view: str, event: gr.EventData) -> Any:
    """Set the three "Hide" sliders so that they hide the clicked part of the image."""
    match event.id:
        case [int() | float() as across, int() | float() as down]:
            if view == CHANGE and 0 <= across <= 1 and 0 <= down <= 1:
                return [HIDDEN_SIZE, across, down]
    return gr.skip()


def ask(
    view: str, image: Opened, variant: str, shown: str, target: str, method: Method, *changes: float
) -> str:
    if not isinstance(image, Image.Image):
        return describe_refusal(image) if image else EMPTY
    if view == ALL:
        return show_all(answers.compare(image))
    if view == CHANGE:
        try:
            changed = change(image, *changes)
        except ValueError as error:
            return describe_refusal(error)
        answer = answers.answer(changed, variant)
        likely = bars(sorted(answer.probabilities.items()))  # sorted by label, so that no bar moves
        return f'{describe(answer)}<div class="beside">{likely}{draw(answer)}</div>'
    return show_one(ask_one(image, variant, shown, target, method))


def ask_one(image: Image.Image, variant: str, shown: str, target: str, method: Method) -> Answer:
    targets, layers = [target], answers.load_torch(variant).layers() if shown == LAYERS else ()
    if shown == CLASSES:
        targets = [label for label, _ in answers.answer(image, variant, method).top(3)]
    return answers.answer(image, variant, method, targets, layers)


def change(image: Image.Image, *changes: float) -> Image.Image:
    """Rotate, zoom, shift and blur an image, and hide a round part of it.

    `changes` has one value for each entry of CHANGES, in the same order. A value that is not finite
    raises a ValueError, because it would make Pillow crash the process.
    """
    if not all(map(math.isfinite, changes)):
        raise ValueError("all changes must be finite numbers")
    rotate, zoom, across, down, blur, size, x, y = changes
    image = answers.reduce(image)
    width, height = image.size
    cos, sin = (f(math.radians(rotate)) / zoom for f in (math.cos, math.sin))
    left, top = width * (0.5 + across), height * (0.5 + down)  # where the image's centre moves to
    inverse = (
        *(cos, sin, width / 2 - cos * left - sin * top),
        *(-sin, cos, height / 2 + sin * left - cos * top),
    )
    affine, bicubic = Image.Transform.AFFINE, Image.Resampling.BICUBIC
    changed = image.transform(image.size, affine, inverse, bicubic, fillcolor=GREY)
    longest = max(image.size)
    changed = changed.filter(ImageFilter.GaussianBlur(blur * longest))
    if size:
        ImageDraw.Draw(changed).circle((x * width, y * height), size * longest / 2, fill=GREY)
    return changed


def show_one(answer: Answer) -> str:
    seen = "".join(
        pixels(to_square(view, NATIVE_SIZE), f"View {number} of {len(answer.views)}")
        for number, view in enumerate(answer.views, start=1)
    )
    gets = f'<div class="gets">What the network sees:<div>{seen}</div></div>'
    likely, drawn = bars(answer.top(5)), draw(answer)
    if len(answer.explanations) == 1:
        return f'{describe(answer)}<div class="beside">{likely}{drawn}{gets}</div>'
    return f'{describe(answer)}<div class="beside">{likely}{gets}</div>{drawn}'


def show_all(every: list[Answer]) -> str:
    votes = Counter(each.label for each in every).most_common()
    summary = ", ".join(f"<b>{escape(label)}</b> {count} of {len(every)}" for label, count in votes)
    drawn = []
    for each in every:
        (one,) = maps_of(each)
        none = ", probably none" if each.probabilities.probably_none else ""
        caption = f"{one.caption}{none}<br>{escape(each.variant)}"
        drawn.append(one._replace(caption=caption, alt=f"{each.variant}: {one.alt}"))
    note = "All networks on the same image, best network first. Each map has its own scale."
    return message(summary, note) + maps(every[0].image, drawn)
