"""The page: its head, a file per tab, its API, and the address that says what is shown."""

import warnings
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import gradio as gr

from demo import answers, api, conclusions, experiments, explore, overfitting, try_it
from demo.parts import LOCAL
from demo.sample import file_of
from demo.serving.blocks import ServedBlocks

ABOUT = """# What does a small network see?

It sorts an image into one of ten classes and shows its evidence.
"""
SHARE = '<button type="button" class="share">Copy link</button>'
TABS = {
    "try": "Try it",
    "explore": "Test images",
    "overfitting": "Overfitting",
    "experiments": "Experiments",
    "conclusions": "Conclusions",
}
LOCATION = "() => [location.search, location.origin + location.pathname]"


def build_demo() -> gr.Blocks:
    """The whole page, ready to answer.

    Raises:
        VariantError: no trained variant is shipped.
    """
    # Pillow warns about damaged images besides refusing them, gradio about its own use of pandas.
    warnings.filterwarnings("ignore", module="PIL|gradio")
    answers.warm_up()
    with ServedBlocks(title="MobileNetV3 on CIFAR-10") as page:
        with gr.Row(elem_id="about"):
            gr.Markdown(ABOUT)
            gr.HTML(SHARE, js_on_load=None, apply_default_css=False, min_width=100)
        with gr.Tabs(elem_id="tabs") as tabs:
            opened = {name: gr.Tab(label, id=name) for name, label in TABS.items()}
            with opened["try"]:
                shown = try_it.build()
            with opened["explore"]:
                shown |= explore.build(opened["explore"])
            with opened["overfitting"]:
                overfitting.build()
            with opened["experiments"]:
                shown |= experiments.build(opened["experiments"])
            with opened["conclusions"]:
                conclusions.build()
        snippets = api.build()
        keep_address(page, {"tabs": tabs, **shown}, opened, snippets)
    return page.queue(default_concurrency_limit=1)


def keep_address(
    page: gr.Blocks, shown: dict[str, Any], opened: dict[str, gr.Tab], snippets: gr.Markdown
) -> None:
    """Every choice goes into the address (assets/page.js); opening an address restores them."""
    for name, tab in opened.items():
        tab.select(None, None, None, js=f"() => demo.remember('tab', '{name}', 'try')", **LOCAL)
    for key, component in shown.items():
        if key == "image":
            component.change(None, component, None, js="(file) => demo.setImage(file)", **LOCAL)
        elif key not in ("tabs", "views"):
            start = component.value
            js = f"(value) => demo.remember('{key}', value, '{start}')"
            component.change(None, component, None, js=js, **LOCAL)
    query = gr.Textbox(visible="hidden", label="query")
    origin = gr.Textbox(visible="hidden", label="origin")
    page.load(
        partial(restore, list(shown.items())),
        [query, origin],
        [*shown.values(), snippets],
        js=LOCATION,
        **LOCAL,
    ).then(None, None, None, js="() => demo.start()", **LOCAL)


def restore(shown: list[tuple[str, Any]], query: str, origin: str) -> list[Any]:
    """The value that an address gives each component; what it does not name stays as it is."""
    given = {key: values[0] for key, values in parse_qs(query.removeprefix("?")).items()}
    return [*(restored(key, component, given) for key, component in shown), api.describe(origin)]


def restored(key: str, component: Any, given: dict[str, str]) -> Any:
    if key == "tabs":
        return gr.Tabs(selected=given["tab"]) if given.get("tab") in TABS else gr.skip()
    if key == "views":
        return gr.Tabs(selected=given["view"]) if given.get("view") in try_it.VIEWS else gr.skip()
    value = given.get(key)
    if key == "image":
        file = file_of(value) if value else None
        return str(file) if file else gr.skip()
    allowed = try_it.VIEWS if key == "view" else [choice[1] for choice in component.choices]
    return value if value in allowed else gr.skip()
