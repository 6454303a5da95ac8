"""Define components and event arguments that several tabs of the demo use."""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData
from PIL import Image

from demo.markup import percent
from demo.serving.decoder import open_kept
from demo.serving.folder import GONE
from mobilenetv3_cifar.errors import ImageError
from mobilenetv3_cifar.variants import list_variants

Opened = Image.Image | ImageError | None
NETWORK = "network"  # concurrency ID: all events that run a network share one queue
SELECT = """element.addEventListener("click", (event) => {
    const chosen = event.target.closest("[data-id]");
    if (chosen) trigger("select", { id: chosen.dataset.id });
    const map = event.target.closest(".map");
    const parts = () => [event.offsetX / map.clientWidth, event.offsetY / map.clientHeight];
    if (map) trigger("select", { id: parts() });
});"""
COMMON: dict[str, Any] = {"trigger_mode": "always_last", "api_visibility": "private"}
# Arguments for event listeners: ASK for those that run a neural network, LOCAL for all others.
LOCAL = COMMON | {"show_progress": "hidden", "concurrency_limit": None}
ASK = COMMON | {"show_progress": "minimal", "concurrency_id": NETWORK}


def choice(label: str, options: list[Any], elem_id: str, min_width: int = 150) -> gr.Dropdown:
    """Make a dropdown that starts with its first option and cannot be left empty."""
    return gr.Dropdown(options, label=label, filterable=False, min_width=min_width, elem_id=elem_id)


def variant_input(elem_id: str) -> gr.Dropdown:
    options = [
        (f"{each.name} · {percent(each.accuracy, 2)} · {each.bytes / 1e6:.1f} MB", each.name)
        for each in list_variants()
    ]
    return choice("Network · validation accuracy · size", options, elem_id, min_width=240)


def panel(html: str = "", elem_id: str | None = None) -> gr.HTML:
    """Make a `gr.HTML` in which a click on a map or an element with a `data-id` triggers `select`.

    The event's `id` is the `data-id` or, for a map, the clicked point [across, down] as fractions
    of the map's width and height.
    """
    return gr.HTML(html, js_on_load=SELECT, apply_default_css=False, elem_id=elem_id)


def safe_image(**options: Any) -> gr.Image:
    """Make a `gr.Image` whose event handlers receive the result of `open_sent`."""
    component = gr.Image(**options)
    # Do not subclass gr.Image: for a subclass, gradio would write a .pyi file to this folder.
    component.preprocess = open_sent  # type: ignore[method-assign, assignment]
    return component


def open_sent(payload: ImageData | None) -> Opened:
    """Open the image that a visitor uploaded or chose. Return None if no image is shown.

    If the upload was refused or has been deleted, return an ImageError. If this error were raised,
    gradio would show a red "Error" over the whole page.
    """
    try:
        return open_kept(Path(payload.path)) if payload and payload.path else None
    except FileNotFoundError:
        return ImageError(GONE)
    except ImageError as error:
        return error
