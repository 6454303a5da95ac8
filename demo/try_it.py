"""The first tab: one image, asked of one network, of all networks, and changed by the visitor."""

from collections import Counter
from html import escape
from typing import Any

import gradio as gr
from PIL import Image

from demo import answers, editor
from demo.answers import PREDICTED, Answer
from demo.markup import Map, bars, crops, maps, percent, tiles
from demo.parts import ASK, LOCAL, choice, legend, panel, selectable, variant_input
from demo.safe_image import Opened, SafeImage
from demo.sample import example_files, file_of
from demo.text import describe, describe_map, describe_refusal
from mobilenetv3_cifar.explanation import METHODS, Method
from mobilenetv3_cifar.preprocessing import LABELS

ONE, ALL, CHANGE = "one", "all", "change"
VIEWS = (ONE, ALL, CHANGE)
CLASS, CLASSES, LAYERS = "class", "classes", "layers"
SHOWN = [
    ("for one class", CLASS),
    ("for the three likeliest classes", CLASSES),
    ("at every layer", LAYERS),
]
EMPTY = '<div class="answer" aria-live="polite"><p>Choose an image or take an example.</p></div>'


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
            examples = selectable(example_tiles(), "examples")
            variant = variant_input("Network", "network")
        with gr.Column(scale=3, min_width=280):
            view = gr.Textbox(ONE, visible="hidden", label="view", elem_id="view")
            with gr.Tabs(elem_id="views") as views:
                with gr.Tab("One network", id=ONE) as one_tab:
                    one = panel(EMPTY, "one")
                    legend()
                    shown, target, method = build_settings()
                with gr.Tab("All networks", id=ALL) as all_tab:
                    every = panel(EMPTY, "all")
                    legend()
                with gr.Tab("Fool it", id=CHANGE) as change_tab:
                    editor.build(variant, view, CHANGE)
    for name, tab in ((ONE, one_tab), (ALL, all_tab), (CHANGE, change_tab)):
        tab.select(None, None, view, js=f"() => '{name}'", api_visibility="private")
    examples.select(example, None, image, **LOCAL)
    shown.change(lambda value: gr.Dropdown(visible=value != CLASSES), shown, target, **LOCAL)
    questions: list[Any] = [view, image, variant, shown, target, method]
    gr.on([each.change for each in questions], ask, questions, [one, every], **ASK)
    return {
        "image": image,
        "network": variant,
        "view": view,
        "views": views,
        "maps": shown,
        "class": target,
        "method": method,
    }


def build_settings() -> tuple[gr.Dropdown, gr.Dropdown, gr.Dropdown]:
    with gr.Row():
        shown = choice("Maps", SHOWN, "maps")
        target = choice("Class", [("the prediction", PREDICTED), *LABELS], "class")
        method = choice("Method", [(each.title, name) for name, each in METHODS.items()], "method")
    return shown, target, method


def example_tiles() -> str:
    files = example_files()
    return tiles(((file.stem, Image.open(file), file.stem) for file in files), captions=False)


def example(event: gr.EventData) -> str | None:
    file = file_of(str(event.id))
    return str(file) if file else None


def ask(
    view: str, image: Opened, variant: str, shown: str, target: str, method: Method
) -> tuple[Any, Any]:
    """The HTML of the view that is open; the other views stay as they are."""
    if view == CHANGE:
        return gr.skip(), gr.skip()
    if not isinstance(image, Image.Image):
        html = describe_refusal(image) if image else EMPTY
    elif view == ALL:
        html = show_all(list(answers.compare(image)))
    else:
        html = show_one(ask_one(image, variant, shown, target, method))
    return (html, gr.skip()) if view == ONE else (gr.skip(), html)


def ask_one(image: Image.Image, variant: str, shown: str, target: str, method: Method) -> Answer:
    if shown == CLASSES:
        return answers.answer(image, variant, method, answers.likeliest(image, variant, 3))
    if shown == LAYERS:
        names = answers.layer_names(variant)
        return answers.answer(image, variant, method, [target], names)
    return answers.answer(image, variant, method, [target])


def show_one(answer: Answer, top: int = 5) -> str:
    gets = f'<div class="gets"><p>What the network gets:</p>{crops(answer.inputs)}</div>'
    likely, drawn = bars(answer.top(top)), show_maps(answer)
    if len(answer.explanations) == 1:
        beside = f'<div class="beside">{likely}{drawn}{gets}</div>'
    else:
        beside = f'<div class="beside">{likely}{gets}</div><div class="many">{drawn}</div>'
    return describe(answer) + beside


def show_maps(answer: Answer) -> str:
    """All maps of an answer; those of several classes share one scale."""
    drawn = [
        Map(heatmap, caption(answer, index), describe_map(answer, index))
        for index, heatmap in enumerate(answer.heatmaps())
    ]
    return maps(answer.image, drawn, f"{answer.label}-{answer.variant}-{answer.method}")


def caption(answer: Answer, index: int) -> str:
    explained = answer.explanations[index]
    if explained.blank:
        return f"No evidence for <b>{escape(explained.label)}</b>"
    if answer.method == "eigencam":
        return "The strongest pattern, whatever the class"
    label = f"<b>{escape(explained.label)}</b> {percent(explained.probability)}"
    several = len(set(answer.layers)) > 1
    return f"{label}<br>layer {index + 1} of {len(answer.layers)}" if several else label


def show_all(found: list[Answer]) -> str:
    votes = Counter(each.label for each in found).most_common()
    summary = ", ".join(f"<b>{escape(label)}</b> {count} of {len(found)}" for label, count in votes)
    drawn = [
        Map(each.heatmaps()[0], compare_caption(each), f"{each.variant}: {describe_map(each)}")
        for each in found
    ]
    return (
        f'<div class="answer" aria-live="polite"><h2>{summary}</h2>'
        "<p>The same image, every network, the best first. Each map has its own scale.</p></div>"
        f'<div class="many">{maps(found[0].image, drawn, "all-networks")}</div>'
    )


def compare_caption(answer: Answer) -> str:
    hints = {
        "probably none": answer.probabilities.probably_none,
        "blank map": answer.explanations[0].blank,
    }
    said = [hint for hint, applies in hints.items() if applies]
    sure = percent(answer.probabilities[answer.label])
    return f"<b>{escape(answer.label)}</b> {', '.join([sure, *said])}<br>{escape(answer.variant)}"
