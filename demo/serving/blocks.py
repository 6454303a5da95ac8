"""The page as it is served: with the fair queue, and with errors that do not flood the log."""

import asyncio
import logging
import os
from collections.abc import Coroutine
from typing import Any

import gradio as gr
from anyio import to_thread

from demo.serving.folder import own_folder
from demo.serving.queue import FairQueue

CALLS = min(4, os.cpu_count() or 1)  # of networks at a time; each takes one thread

logger = logging.getLogger(__name__)


class ServedBlocks(gr.Blocks):
    """Blocks whose files lie in the folder of this process."""

    def __init__(self, **options: Any) -> None:
        own_folder()
        super().__init__(analytics_enabled=False, **options)

    def queue(self, *, default_concurrency_limit: int = CALLS) -> "ServedBlocks":
        """Like gradio's; how many events may wait is for the queue to say."""
        super().queue(api_open=False)
        self._queue = FairQueue(
            live_updates=True,
            concurrency_count=self.max_threads,
            update_intervals=1,
            blocks=self,
            default_concurrency_limit=default_concurrency_limit,
        )
        return self

    async def preprocess_data(self, *args: Any, **options: Any) -> Any:
        """Values that do not fit an input are the sender's mistake, and no traceback's worth."""
        try:
            return await in_thread(super().preprocess_data(*args, **options))
        except gr.Error as error:
            raise quiet(error.message) from error
        except Exception as error:
            raise quiet("The values that were sent do not fit this function.") from error

    async def postprocess_data(self, *args: Any, **options: Any) -> Any:
        return await in_thread(super().postprocess_data(*args, **options))

    async def process_api(self, *args: Any, **options: Any) -> dict[str, Any]:
        try:
            return await super().process_api(*args, **options)
        except gr.Error as error:
            raise quiet(error.message) from error
        except Exception as error:
            logger.exception("A function of the page failed")
            raise quiet("Something went wrong on the server.") from error


async def in_thread(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Gradio opens and writes images in the event loop, where everybody waits for them."""
    return await to_thread.run_sync(asyncio.run, coroutine)


def quiet(message: str) -> gr.Error:
    return gr.Error(message, print_exception=False)
