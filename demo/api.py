"""The demo's own API, beside the page: three typed functions, described at the page's foot."""

from typing import Any, TypedDict

import gradio as gr
from PIL import Image

from demo import answers
from demo.answers import PREDICTED
from demo.parts import NETWORK
from demo.safe_image import Opened, SafeImage
from demo.words import as_sentence
from mobilenetv3_cifar.errors import VariantError
from mobilenetv3_cifar.explanation import Method
from mobilenetv3_cifar.variants import get_variant, list_variants


class VariantFacts(TypedDict):
    """A shipped variant: its accuracy is a fraction of 1, on the validation pictures."""

    name: str
    accuracy: float
    parameters: int
    macs: int


def build() -> None:
    """Unseen components: through them gradio checks a caller's files as it does a visitor's."""
    picture = SafeImage(label="image", visible=False)
    variant = gr.Textbox(get_variant().name, label="variant", visible=False)
    method = gr.Textbox("gradcam", label="method", visible=False)
    target = gr.Textbox(PREDICTED, label="target", visible=False)
    opacity = gr.Number(0.5, label="opacity", visible=False)
    label = gr.Label(label="answer", visible=False)
    overlay = gr.Image(label="overlay", format="png", visible=False)
    rows = gr.JSON(label="answers", visible=False)
    button = gr.Button(visible=False)
    button.click(
        classify,
        [picture, variant, method, target, opacity],
        [label, overlay],
        api_name="classify",
        concurrency_id=NETWORK,
    )
    button.click(compare, picture, rows, api_name="compare", concurrency_id=NETWORK)
    gr.api(variants, api_name="variants")


def classify(
    image: Opened, variant: str, method: Method, target: str, opacity: float
) -> tuple[dict[str, float], Image.Image]:
    """Classify a picture: the probability of every class, and the picture under its activation map.

    method: gradcam, gradcam++, layercam, hirescam or eigencam. target: a class, or "predicted".
    opacity: of the map, from 0 to 1.
    """
    picture = require(image)
    if not (isinstance(opacity, int | float) and 0 <= opacity <= 1):
        raise refusal(f"opacity must be from 0 to 1, not {opacity}")
    try:
        found = answers.answer(picture, variant, method, target)
    except (VariantError, ValueError) as error:
        raise refusal(str(error)) from error
    return found.probabilities, found.map_over_picture(opacity)


def compare(image: Opened) -> list[dict[str, Any]]:
    """Ask every variant about a picture: the likeliest class of each, the best variant first."""
    return [
        {"variant": one.variant, "label": one.label, "probability": one.probabilities[one.label]}
        for one in answers.compare(require(image))
    ]


def variants() -> list[VariantFacts]:
    """The shipped variants, the best on the validation pictures first."""
    return [
        VariantFacts(
            name=each.name, accuracy=each.accuracy, parameters=each.parameters, macs=each.macs
        )
        for each in list_variants()
    ]


def require(image: Opened) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    raise refusal(str(image) if image else "there is no picture")


def refusal(text: str) -> gr.Error:
    """An error whose sentence reaches the caller, without a traceback in the log."""
    return gr.Error(as_sentence(text), print_exception=False)
