"""Define the three functions of the demo's API, and show example code at the foot of the page."""

from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from demo import answers
from demo.answers import PREDICTED, Answer
from demo.parts import NETWORK, Opened, safe_image
from demo.sample import write_png
from demo.text import as_sentence
from mobilenetv3_cifar import overlay
from mobilenetv3_cifar.errors import VariantError
from mobilenetv3_cifar.explanation import Method
from mobilenetv3_cifar.variants import get_variant, list_variants

MIN_OVERLAY = 256  # pixels; the longer side of an overlay is at least this long


def build() -> gr.Markdown:
    """Add the API's functions to the page, and return the component with the example code.

    The inputs of `classify` and `compare` are invisible components. The image is a `safe_image`, so
    gradio opens images from programs with `open_sent`, as it opens visitors' images.
    """
    with gr.Row(visible=False):
        image = safe_image(label="image")
        variant = gr.Textbox(get_variant().name, label="variant")
        method = gr.Textbox("gradcam", label="method")
        target = gr.Textbox(PREDICTED, label="target")
        opacity = gr.JSON("0.5", label="opacity")
        answer = [gr.Label(label="answer"), gr.Image(label="overlay"), gr.JSON(label="details")]
        rows = gr.JSON(label="answers")
        button = gr.Button()
    asked = [image, variant, method, target, opacity]
    button.click(classify, asked, answer, api_name="classify", concurrency_id=NETWORK)
    button.click(compare, image, rows, api_name="compare", concurrency_id=NETWORK)
    gr.api(variants, api_name="variants")
    with gr.Accordion("Use it from a program", open=False, elem_id="api"):
        return gr.Markdown(describe("http://127.0.0.1:7860/"), elem_id="snippets")


def describe(url: str) -> str:
    """Return Markdown with example code that calls the demo at `url`."""
    return f"""Programs can call `/classify`, `/compare` and `/variants`. For example, in Python:

```python
# First run: pip install gradio_client
from gradio_client import Client, handle_file

client = Client("{url}")
answer, overlay, details = client.predict(
    image=handle_file("image.jpg"), variant="{get_variant().name}", api_name="/classify"
)
print(answer["label"], details["probably_none"], overlay)
```"""


def classify(
    image: Opened, variant: str, method: Method, target: str, opacity: float
) -> tuple[dict[str, float], Path, dict[str, Any]]:
    """Classify an image. Return all probabilities, the image overlaid with a map, and details.

    `method` is the method that computes the activation map, for example "gradcam". For an unknown
    method, the error message lists the valid ones. `target` is a class or "predicted". `opacity` is
    the map's opacity from 0 to 1. The details are `layer` (the layer that the map shows), `blank`
    (whether the map is blank), `ood_score` (a low score suggests that the image shows none of the
    classes) and `probably_none` (whether the score is below the network's threshold).
    """
    opened = require(image)
    if isinstance(opacity, bool) or not (isinstance(opacity, int | float) and 0 <= opacity <= 1):
        raise refusal(f"opacity must be a number from 0 to 1, not {opacity!r}")
    try:
        answer = answers.answer(opened, variant, method, [target])
    except (VariantError, ValueError) as error:
        raise refusal(str(error)) from error
    details = {
        "layer": answer.layers[0],
        "blank": answer.explanations[0].blank,
        "ood_score": answer.probabilities.ood_score,
        "probably_none": answer.probabilities.probably_none,
    }
    overlaid = write_png(blend(answer, opacity), "overlay.png")
    return answer.probabilities, overlaid, details


def blend(answer: Answer, opacity: float) -> Image.Image:
    """Overlay an answer's image with its map, unless the map is blank. Enlarge small images."""
    explained = answer.explanations[0]
    image = overlay(answer.image, explained.heatmap, 0 if explained.blank else opacity)
    factor = max(1, MIN_OVERLAY / max(image.size))
    size = (round(image.width * factor), round(image.height * factor))
    return image.resize(size, Image.Resampling.BICUBIC)


def compare(image: Opened) -> list[dict[str, Any]]:
    """Return each variant's prediction for an image, best variant first."""
    return [
        {
            "variant": one.variant,
            "label": one.label,
            "probability": one.probabilities[one.label],
            "ood_score": one.probabilities.ood_score,
            "probably_none": one.probabilities.probably_none,
        }
        for one in answers.compare(require(image))
    ]


def variants() -> list[dict[str, Any]]:
    """Return the shipped variants, best first. `accuracy` is the validation accuracy in [0, 1]."""
    return [
        {key: getattr(each, key) for key in ("name", "accuracy", "parameters", "macs")}
        for each in list_variants()
    ]


def require(image: Opened) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    raise refusal(str(image) if image else "there is no image")


def refusal(text: str) -> gr.Error:
    return gr.Error(as_sentence(text))
