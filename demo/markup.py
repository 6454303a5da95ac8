"""HTML for the page: activation maps over an image, probability bars, image tiles, tables.

Images are data URLs, so nothing that a browser fetches is ever rewritten. The browser blends a map
with its image (assets/page.js), so the opacity slider needs no server.
"""

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image

from mobilenetv3_cifar.explanation import COLOURS, colour

PHOTO_SIDE = 360  # pixels of the longer side of an image under a map
MAP_SIDE = 96  # of a map: it is smooth, and the browser interpolates


@dataclass(frozen=True)
class Map:
    """An activation map (H, W) in [0, 1] to be drawn over an image; None draws the image alone."""

    heatmap: np.ndarray | None
    caption: str
    alt: str


def data_url(image: Image.Image, format: str = "PNG", quality: int = 75) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format=format, quality=quality)
    return f"data:image/{format.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def photo_url(image: Image.Image) -> str:
    """A small image exactly, a larger one reduced."""
    if max(image.size) <= MAP_SIDE:
        return data_url(image)
    reduced = image.copy()
    reduced.thumbnail((PHOTO_SIDE, PHOTO_SIDE))
    return data_url(reduced, "JPEG")


def heat_image(heatmap: np.ndarray) -> str:
    """A map in its colours, at most MAP_SIDE pixels a side."""
    image = Image.fromarray(heatmap.astype(np.float32))
    scale = min(1, MAP_SIDE / max(image.size))
    size = [max(1, round(side * scale)) for side in image.size]
    small = np.asarray(image.resize((size[0], size[1]), Image.Resampling.BILINEAR)).clip(0, 1)
    return f'<img class="heat" alt="" src="{data_url(Image.fromarray(colour(small)))}">'


def maps(image: Image.Image, drawn: Sequence[Map], name: str) -> str:
    """Maps over one image, in a row. `name` begins the names of downloaded files."""
    figures = []
    for number, each in enumerate(drawn, 1):
        heat = "" if each.heatmap is None else heat_image(each.heatmap)
        file = escape(f"{name}-{number}.png" if len(drawn) > 1 else f"{name}.png")
        figures.append(
            f'<figure><div class="map" role="img" aria-label="{escape(each.alt)}">{heat}</div>'
            f"<figcaption>{each.caption} "
            f'<button type="button" class="download" data-file="{file}" '
            f'aria-label="Download the map {number}">Download</button></figcaption></figure>'
        )
    style = f"--photo:url({photo_url(image)});--ratio:{image.width}/{image.height}"
    return f'<div class="maps" style="{style}">{"".join(figures)}</div>'


def legend() -> str:
    """What the colours of a map mean, and how strongly they are drawn."""
    gradient = ",".join(f"rgb({red} {green} {blue})" for red, green, blue in COLOURS)
    return (
        '<div class="legend"><span>no evidence</span>'
        f'<span class="scale" style="background:linear-gradient(to right,{gradient})"></span>'
        "<span>most evidence</span>"
        '<label>Opacity of the map <input type="range" class="opacity" min="0" max="1" step="0.05" '
        'value="0.5"></label></div>'
    )


def bars(probabilities: Iterable[tuple[str, float]]) -> str:
    """Labels with their probabilities as bars, in the order given."""
    rows = "".join(
        f'<li><span>{escape(label)}</span><span class="bar" style="--part:{value:.4f}"></span>'
        f"<span>{percent(value)}</span></li>"
        for label, value in probabilities
    )
    return f'<ol class="bars" aria-label="Probabilities">{rows}</ol>'


def crops(images: Sequence[Image.Image]) -> str:
    """What the network gets, enlarged without smoothing."""
    shown = "".join(
        f'<img class="pixels" alt="Input {number} of the network" src="{data_url(image)}">'
        for number, image in enumerate(images, 1)
    )
    return f'<div class="crops">{shown}</div>'


def tiles(items: Iterable[tuple[str, Image.Image, str]], captions: bool = True) -> str:
    """Images as buttons; a click sends the first of (id, image, caption) to the server."""
    buttons = "".join(
        f'<button type="button" data-id="{escape(key)}" aria-label="{escape(caption)}">'
        f'<img class="pixels" alt="" src="{data_url(image)}">'
        + (f"<span>{escape(caption)}</span>" if captions else "")
        + "</button>"
        for key, image, caption in items
    )
    return f'<div class="tiles">{buttons}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], label: str = "") -> str:
    """The first column to the left, the others, which are numbers, to the right."""
    heads = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    region = f'role="region" tabindex="0" aria-label="{escape(label or head[0])}"'
    return (
        f'<div class="table" {region}><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def percent(fraction: float) -> str:
    """A probability, in percent with one decimal."""
    return f"{100 * fraction:.1f} %"
