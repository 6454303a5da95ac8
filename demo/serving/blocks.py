"""Replacements for gradio's queue, session states and error messages."""

import logging
from copy import copy
from typing import Any

import gradio as gr
from gradio.state_holder import SessionState, StateHolder

from demo.serving.folder import mask, own_folder
from demo.serving.queue import FairQueue

logger = logging.getLogger(__name__)


class ServedBlocks(gr.Blocks):
    """A `gr.Blocks` that keeps its files in `own_folder()` and reports errors as sentences."""

    def __init__(self, **options: Any) -> None:
        own_folder()
        super().__init__(analytics_enabled=False, **options)

    def queue(self, *, default_concurrency_limit: int = 1) -> "ServedBlocks":
        """Replace gradio's queue with a FairQueue, which limits how many events may wait."""
        super().queue(api_open=False)
        self._queue = FairQueue(
            live_updates=True,
            concurrency_count=self.max_threads,
            update_intervals=1,
            blocks=self,
            default_concurrency_limit=default_concurrency_limit,
        )
        return self

    async def preprocess_data(self, block_fn: Any, *args: Any, **options: Any) -> Any:
        """Preprocess as gradio does, but log no traceback when a client sends invalid values."""
        try:
            values = await super().preprocess_data(block_fn, *args, **options)
            for block, value in zip(block_fn.inputs, values, strict=True):
                if isinstance(block, gr.Dropdown) and not isinstance(value, str):
                    raise TypeError("a list of choices passes gradio's own check")
            return values
        except Exception as error:
            message = "The values that were sent do not fit this function."
            raise quiet(error.message if isinstance(error, gr.Error) else message) from error

    async def postprocess_data(self, *args: Any, **options: Any) -> Any:
        return mask(await super().postprocess_data(*args, **options))

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


class NoStates(StateHolder):
    """A state holder without data, since the page uses no `gr.State` and no gradio deep links."""

    def __getitem__(self, session_id: str) -> SessionState:
        return NoState(self.blocks)


class NoState(SessionState):
    """An empty session state.

    Gradio's own state makes the configs of all components again in each call, which takes 70 ms.
    """

    def __init__(self, blocks: gr.Blocks) -> None:
        self.blocks_config = copy(blocks.default_config)
        self.state_data: dict[int, Any] = {}
        self._state_ttl: dict[int, Any] = {}
        self.config_values: dict[int, Any] = {}

    def _update_value_in_config(self, key: int, value: Any = None) -> None:
        pass

    _update_config = _update_value_in_config
