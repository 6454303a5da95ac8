"""Provide fixtures that serve the page of `tests.light_demo` on a free port."""

import pytest

from demo.serving import server
from tests.light_demo import build_page, client, free_port


@pytest.fixture(scope="module")
def url():
    page, port = build_page(), free_port()
    options = server.launch_options() | {"server_port": port, "quiet": True}
    page.launch(prevent_thread_lock=True, **options)
    yield f"http://127.0.0.1:{port}"
    page.close(verbose=False)


@pytest.fixture(scope="module")
def http(url):
    with client(url) as session:
        yield session
