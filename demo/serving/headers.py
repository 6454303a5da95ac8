"""Headers: which sites may use the demo, and what a browser may do with what it gets."""

import os
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders

# A Space is shown in a frame on the Hub's page; elsewhere nobody has a reason to frame the demo.
FRAMES = "'self' https://huggingface.co" if os.environ.get("SPACE_ID") else "'self'"
# Gradio's page has inline scripts and compiles the functions that it gets as text.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    f"object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors {FRAMES}"
)
SENT = {
    "content-security-policy": POLICY,
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


def is_cross_site(headers: Headers) -> bool:
    """Whether another site's page made a visitor's browser send the request."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    hosts = (headers.get("host"), headers.get("x-forwarded-host"))
    return origin is not None and urlsplit(origin).netloc not in hosts


def add_headers(headers: MutableHeaders) -> None:
    for name, value in SENT.items():
        headers[name] = value
