"""The page as it is served: with the fair queue, and with errors that do not flood the log."""

import logging
from typing import Any

import gradio as gr

from demo.serving.folder import own_folder
from demo.serving.queue import FairQueue

logger = logging.getLogger(__name__)


class ServedBlocks(gr.Blocks):
    """Blocks whose files lie in the folder of this process."""

    def __init__(self, **options: Any) -> None:
        own_folder()
        super().__init__(analytics_enabled=False, **options)

    def queue(self, *, default_concurrency_limit: int = 1) -> "ServedBlocks":
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
            return await super().preprocess_data(*args, **options)
        except gr.Error as error:
            raise quiet(error.message) from error
        except Exception as error:
            raise quiet("The values that were sent do not fit this function.") from error

    async def process_api(self, *args: Any, **options: Any) -> dict[str, Any]:
        try:
            return await super().process_api(*args, **options)
        except gr.Error as error:
            raise quiet(error.message) from error
        except Exception as error:
            logger.exception("A function of the page failed")
            raise quiet("Something went wrong on the server.") from error


def quiet(message: str) -> gr.Error:
    return gr.Error(message, print_exception=False)
