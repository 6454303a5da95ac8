"""Replace gradio's queue, session states and error messages."""

import logging
from types import SimpleNamespace
from typing import Any

import gradio as gr
from gradio.state_holder import SessionState, StateHolder

from demo.serving.folder import mask, own_folder
from demo.serving.queue import FairQueue

logger = logging.getLogger(__name__)


class ServedBlocks(gr.Blocks):
    """A `gr.Blocks` that keeps its files in `own_folder()` and shows readable errors."""

    def __init__(self, **options: Any) -> None:
        own_folder()
        super().__init__(analytics_enabled=False, **options)

    def queue(self) -> "ServedBlocks":
        """Replace gradio's queue with a FairQueue. `gr.Blocks.__init__` calls this method."""
        super().queue(api_open=False)
        self._queue = FairQueue(
            live_updates=True,
            concurrency_count=self.max_threads,
            update_intervals=1,
            blocks=self,
            # On 2 cores, 8 visitors are served faster with two events at a time than with one.
            default_concurrency_limit=2,
        )
        return self

    async def preprocess_data(self, block_fn: Any, *args: Any, **options: Any) -> Any:
        """Preprocess inputs as gradio does, but log no traceback if the inputs are invalid."""
        try:
            values = await super().preprocess_data(block_fn, *args, **options)
            for block, value in zip(block_fn.inputs, values, strict=True):
                if isinstance(block, gr.Dropdown) and not isinstance(value, str):
                    raise TypeError("gradio allows a list of choices here, but the page does not")
            return values
        except gr.Error:
            raise
        except Exception as error:
            raise gr.Error("The values that were sent do not fit this function.") from error

    async def process_api(self, *args: Any, **options: Any) -> dict[str, Any]:
        """Run a function of the page. Mask paths in its results, and hide unexpected errors."""
        try:
            return mask(await super().process_api(*args, **options))
        except gr.Error as error:
            message = error.message
        except Exception:
            logger.exception("A function of the page failed")
            message = "Something went wrong on the server."
        raise gr.Error(message, print_exception=False)


class NoStates(StateHolder):
    """Give each request an empty state, since the page uses no `gr.State` and no gradio deep links.

    Gradio's own state would build the configs of all components for each session, which
    would add 12 ms to each API call and use 150 kB of memory per session.
    """

    def __getitem__(self, session_id: str) -> SessionState:
        no_blocks: Any = SimpleNamespace(default_config=self.blocks.default_config, blocks={})
        state: Any = SessionState(no_blocks)
        state._update_config = state._update_value_in_config = lambda *_: None
        return state
