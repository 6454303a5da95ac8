"""Write HTML for the demo: activation maps over an image, probability bars, tiles and tables.

The HTML contains images as data URLs, so the browser fetches no image files. The browser itself
blends each map with the image below it, so the opacity slider works without the server.
"""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

import numpy as np
from PIL import Image

from mobilenetv3_cifar.explanation import COLOURS, colour

PHOTO_SIDE = 360  # pixels; the longer side of an image under a map is at most this long
MAP_SIDE = 96  # the same limit for a map; maps are smooth, so the browser can enlarge them


class Map(NamedTuple):
    """A figure for `maps()`. If `heatmap` (values in [0, 1]) is None, only the image is shown."""

    heatmap: np.ndarray | None
    caption: str
    alt: str


def percent(fraction: float, digits: int = 1) -> str:
    return f"{100 * fraction:.{digits}f}\N{NO-BREAK SPACE}%"


def message(headline: str, text: str) -> str:
    """Return HTML that screen readers announce: a headline, which may be empty, and a paragraph."""
    title = f"<h2>{headline}</h2>" if headline else ""
    return f'<div class="answer" aria-live="polite">{title}<p>{text}</p></div>'


def data_url(image: Image.Image, longest: int = PHOTO_SIDE) -> str:
    """Return a data URL of the image, reduced to at most `longest` pixels per side."""
    reduced = image.copy()
    reduced.thumbnail((longest, longest))
    format = "PNG" if max(reduced.size) <= MAP_SIDE else "JPEG"
    buffer = io.BytesIO()
    reduced.save(buffer, format)
    return f"data:image/{format.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def maps(image: Image.Image, drawn: Iterable[Map]) -> str:
    """Show maps side by side, each over a copy of the image."""
    figures = ""
    for heatmap, caption, alt in drawn:
        heat = ""
        if heatmap is not None:
            url = data_url(Image.fromarray(colour(heatmap)), MAP_SIDE)
            heat = f'<img class="heat" alt="" src="{url}">'
        figures += (
            f'<figure><div class="map" role="img" aria-label="{escape(alt)}">{heat}</div>'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    style = f"--photo:url({data_url(image)});--ratio:{image.width}/{image.height}"
    return f'<div class="maps" style="{style}">{figures}</div>'


def legend() -> str:
    """Return HTML with a legend of the maps' colours, and a slider for the maps' opacity."""
    gradient = ",".join(f"rgb({red} {green} {blue})" for red, green, blue in COLOURS)
    return (
        '<div class="legend"><span>no evidence</span>'
        f'<span class="scale" style="background:linear-gradient(to right,{gradient})"></span>'
        "<span>most evidence</span>"
        '<label>Opacity of the map <input type="range" class="opacity" min="0" max="1" step="0.05" '
        'value="0.5"></label></div>'
    )


def bars(probabilities: Iterable[tuple[str, float]]) -> str:
    rows = "".join(
        f'<li><span>{escape(label)}</span><span class="bar" style="--part:{value:.4f}"></span>'
        f"<span>{percent(value)}</span></li>"
        for label, value in probabilities
    )
    return f'<ol class="bars" aria-label="Probabilities">{rows}</ol>'


def button(key: str, content: str, label: str = "", style: str = "") -> str:
    """Return a button that sends `key`. Screen readers read `label` or, if it is empty, `key`."""
    label = escape(label or key)
    return f'<button type="button" data-id="{key}" aria-label="{label}" {style}>{content}</button>'


def pixels(image: Image.Image, alt: str = "") -> str:
    """Return HTML with a small image that is enlarged without smoothing."""
    return f'<img class="pixels" alt="{escape(alt)}" src="{data_url(image)}">'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], label: str, style: str = "") -> str:
    """Return an HTML table. `label` is for screen readers. `style` is a CSS class."""
    headings = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    region = f'role="region" tabindex="0" aria-label="{escape(label)}"'
    return (
        f'<div class="table {style}" {region}><table><thead><tr>{headings}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
