"""Build the demo's page from a heading, tabs and the API. Keep the page's state in the URL."""

import warnings
from typing import Any
from urllib.parse import parse_qs, urlsplit

import gradio as gr

from demo import answers, api, claims, experiments, explore, overfitting, try_it
from demo.parts import LOCAL
from demo.sample import example_files, file_of, sample
from demo.serving.blocks import ServedBlocks
from mobilenetv3_cifar.images import open_image

ABOUT = """# What does a small network see?

It sorts an image into one of ten classes and shows its evidence.
"""
# {name of the tab in the URL: (label, function that fills the tab)}. Each function returns
# {key in the URL: component} for the components whose values appear in the URL.
TABS = {
    "try": ("Try it", try_it.build),
    "explore": ("Test images", explore.build),
    "overfitting": ("Overfitting", overfitting.build),
    "experiments": ("Experiments", experiments.build),
    "claims": ("Claims", claims.build),
}


def build_demo() -> gr.Blocks:
    """Build the demo's page, and load all networks. Raise VariantError if no variant is shipped."""
    # Hide Pillow's warnings about damaged images, which the page refuses anyway, and gradio's
    # warnings about its own use of pandas.
    warnings.filterwarnings("ignore", module="PIL|gradio")
    # Run every network once, so that the first visitors do not wait for a network to load.
    answers.compare(open_image(example_files()[0]))
    with ServedBlocks(title="MobileNetV3 on CIFAR-10") as page:
        with gr.Row(elem_id="about"):
            gr.Markdown(ABOUT)
            share = gr.Button("Copy link", size="sm", min_width=110, elem_id="share")
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as tabs:
            shown: dict[str, Any] = {}
            for name, (label, build) in TABS.items():
                with gr.Tab(label, id=name) as tab:
                    shown |= build(tab)
                js = f"() => demo.remember('tab', '{name}', 'try')"
                tab.select(None, None, None, js=js, **LOCAL)
        snippets = api.build()
        share.click(None, None, share, js="() => demo.share()", **LOCAL)
        keep_address(page, shown | {"tab": tabs}, snippets)
    return page


def keep_address(page: gr.Blocks, shown: dict[str, Any], snippets: gr.Markdown) -> None:
    """Keep the visitor's choices in the page's URL, and restore them when a URL is opened.

    `shown` maps keys in the URL to components. `snippets` shows the URL in its example code.
    """
    for key, component in shown.items():
        if key != "tab":
            js = f"(value) => demo.remember('{key}', value, '{component.value}')"
            component.change(None, component, None, js=js, **LOCAL)

    def restore(address: str) -> list[Any]:
        given = parse_qs(urlsplit(address).query)
        values = [
            restored(key, component, given.get(key, [""])[0]) or gr.skip()
            for key, component in shown.items()
        ]
        return [*values, api.describe(address.partition("?")[0])]

    address = gr.Textbox(visible="hidden", label="address")
    outputs = [*shown.values(), snippets]
    loaded = page.load(restore, address, outputs, js="() => location.href", **LOCAL)
    loaded.then(None, None, None, js="() => demo.start()", **LOCAL)


def restored(key: str, component: Any, value: str) -> Any:
    """Convert a `value` from the URL for `component`. Return None if `value` is invalid."""
    if key == "image":
        return file_of(value)
    if key == "tab":
        return gr.Tabs(selected=value) if value in TABS else None
    known = sample() if key == "chosen" else dict(component.choices).values()
    return value if value in known else None
