"""What gradio keeps for each session, made small and shared fairly among addresses."""

import time
from collections import Counter
from copy import copy
from typing import Any

import gradio as gr
from gradio.state_holder import SessionState, StateHolder

STATE_SECONDS = 3600  # after which the state of a session that is not used is forgotten


class LightState(SessionState):
    """Keeps the values of `gr.State` alone.

    Gradio would also describe every component, 70 ms of work for each new session and each call of
    the API, and keep the last value of each: for deep links, which the demo does not offer.
    """

    def __init__(self, blocks: gr.Blocks) -> None:
        self.blocks_config = copy(blocks.default_config)
        self.config_values: dict[int, Any] = {}
        self.state_data: dict[int, Any] = {}
        self._state_ttl: dict[int, Any] = {}
        self.is_closed = False
        self.STATE_TTL_WHEN_CLOSED = STATE_SECONDS

    def _update_config(self, key: int) -> None:
        pass

    def _update_value_in_config(self, key: int, value: Any) -> None:
        pass


class FairStates(StateHolder):
    """Sessions' states; when there are too many, the address that has most loses its oldest."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: dict[str, str] = {}  # session: address

    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            self.session_data[session_id] = LightState(self.blocks)
        return super().__getitem__(session_id)

    def update(self, session_id: str) -> None:
        with self.lock:
            if session_id in self.session_data:
                self.session_data.move_to_end(session_id)
            if len(self.session_data) > self.capacity:
                self.forget(self.choose_victim())

    def choose_victim(self) -> str:
        """The oldest session of the address that has most."""
        counts = Counter(self.addresses.get(session, "") for session in self.session_data)
        most = counts.most_common(1)[0][0]
        return next(each for each in self.session_data if self.addresses.get(each, "") == most)

    def forget(self, session: str) -> None:
        self.session_data.pop(session, None)
        self.time_last_used.pop(session, None)
        self.addresses.pop(session, None)

    def forget_unused(self) -> None:
        now = time.time()
        with self.lock:
            for session, used in list(self.time_last_used.items()):
                if now - used.timestamp() > STATE_SECONDS:
                    self.forget(session)
