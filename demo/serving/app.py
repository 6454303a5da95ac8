"""Gradio's app with the guard around it, and with what it does from start to end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from gradio.routes import App
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.serving.cleanup import CLEANUP_SECONDS, Cleanup
from demo.serving.folder import delete_own_folder, mask
from demo.serving.guard import Guard
from demo.serving.queue import FairQueue
from demo.serving.states import FairStates

TEXT = ("text/html", "text/event-stream", "application/json")


class GuardedApp(App):
    """What `Blocks.launch` serves."""

    def __init__(self) -> None:
        super().__init__(openapi_url=None, middleware=[Middleware(MaskFolder)])
        self.states = FairStates()
        self.state_holder = self.states
        self.guard: Guard | None = None

    def build_middleware_stack(self) -> ASGIApp:
        self.guard = Guard(super().build_middleware_stack(), self)
        return self.guard

    def fair_queue(self) -> FairQueue:
        queue = self.get_blocks()._queue
        assert isinstance(queue, FairQueue)
        return queue

    def public_names(self) -> set[str]:
        functions = self.get_blocks().fns.values()
        return {str(each.api_name) for each in functions if each.api_visibility == "public"}

    def check_function(self, index: object, queued: bool) -> None:
        """Refuse a number that is no function's, or that of one which is called in another way.

        Raises:
            HTTPException: it is.
        """
        function = self.get_blocks().fns.get(index) if type(index) is int else None
        if function is None or bool(function.queue) != queued:
            raise HTTPException(404, "There is no such function.")

    def check_arguments(self, name: str, arguments: dict[str, Any]) -> None:
        """Refuse arguments that the function does not have; gradio would fail.

        Raises:
            HTTPException: one is unknown, or one without a default is missing.
        """
        parameters = self.get_blocks().get_api_info()["named_endpoints"][f"/{name}"]["parameters"]
        names = {each["parameter_name"] for each in parameters}
        needed = {
            each["parameter_name"] for each in parameters if not each["parameter_has_default"]
        }
        if unknown := sorted(set(arguments) - names):
            raise HTTPException(422, f"There is no argument {unknown[0]!r}.")
        if missing := sorted(needed - set(arguments)):
            raise HTTPException(422, f"The argument {missing[0]!r} is missing.")

    async def clean_up(self) -> None:
        """Clean up again and again until the task is cancelled."""
        assert self.guard is not None
        cleanup = Cleanup(self.guard.uploads)
        while True:
            await asyncio.to_thread(cleanup.run)
            self.fair_queue().forget_unheard()
            self.states.forget_unused()
            await asyncio.sleep(CLEANUP_SECONDS)


@asynccontextmanager
async def lifespan(app: GuardedApp) -> AsyncIterator[None]:
    """Clean up while the app is served, and delete everything at its end."""
    task = asyncio.create_task(app.clean_up())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    delete_own_folder()


class MaskFolder:
    """Hides where the files of visitors lie: answers name them below /files."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        held: Message | None = None  # the start of a text, until its length is known
        text = False

        async def send_masked(message: Message) -> None:
            nonlocal held, text
            if message["type"] == "http.response.start":
                text = Headers(raw=message["headers"]).get("content-type", "").startswith(TEXT)
                if text:
                    held = message
                    return
            elif text and message["type"] == "http.response.body":
                message["body"] = mask(message.get("body", b""))
                if held is not None:
                    headers = MutableHeaders(scope=held)
                    if message.get("more_body"):
                        del headers["content-length"]
                    elif "content-length" in headers and scope["method"] != "HEAD":
                        headers["content-length"] = str(len(message["body"]))
                    await send(held)
                    held = None
            await send(message)

        await self.app(scope, receive, send_masked)
