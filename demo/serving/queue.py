"""Gradio's queue, made fair: visitors take turns, and nobody holds more of it than a share."""

import time
from collections import Counter, OrderedDict
from typing import Any

import fastapi
from gradio.data_classes import PredictBodyInternal
from gradio.queueing import Event, Queue

from demo.serving.budgets import address_of

MAX_WAITING = 256  # events of all visitors
MAX_OF_ADDRESS = 96
MAX_OF_SESSION = 12
UNHEARD_SECONDS = 10  # after which an event that nobody listens for is dropped
FORGET_SECONDS = 120  # after which an answer that nobody fetched is forgotten


class FairQueue(Queue):
    """Takes the event of the address, then of the session, whose last turn is longest ago."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_size=MAX_WAITING, **options)
        self.listeners: Counter[str] = Counter()  # open streams of each session or event
        self.used: dict[str, float] = {}  # when each session was last heard of
        self.turns: OrderedDict[str, None] = OrderedDict()  # addresses and sessions, oldest first

    async def push(
        self, body: PredictBodyInternal, request: fastapi.Request, username: str | None
    ) -> Any:
        address = address_of(request.scope)
        waiting = list(self.event_ids_to_events.values())
        of_address = sum(address_of(event.request.scope) == address for event in waiting)
        of_session = sum(event.session_hash == body.session_hash for event in waiting)
        if of_address >= MAX_OF_ADDRESS or of_session >= MAX_OF_SESSION:
            return False, "Too many of your requests are waiting: try again later.", "queue_full"
        result = await super().push(body, request, username)
        if result[0]:
            session = body.session_hash or str(result[1])  # without one, gradio takes the event
            self.used[session] = time.monotonic()
        return result

    def get_events(self) -> tuple[list[Event], bool, str] | None:
        """The next event, alone: the demo has no functions that take batches."""
        ready = []
        for name, queue in self.event_queue_per_concurrency_id.items():
            limit = queue.concurrency_limit
            if limit is None or queue.current_concurrency < limit:
                self.drop_unheard(queue.queue)
                ready += [(event, name) for event in queue.queue]
        if not ready:
            return None
        order = {key: place for place, key in enumerate(self.turns)}

        def last_turn(entry: tuple[Event, str]) -> tuple[int, int, float]:
            event = entry[0]
            turns = (order.get(key, -1) for key in keys_of(event))
            return (*turns, event.enqueue_time)  # type: ignore[return-value]

        event, name = min(ready, key=last_turn)
        self.event_queue_per_concurrency_id[name].queue.remove(event)
        for key in keys_of(event):
            self.turns[key] = None
            self.turns.move_to_end(key)
        while len(self.turns) > 4 * MAX_WAITING:
            self.turns.popitem(last=False)
        return [event], False, name

    def drop_unheard(self, queue: list[Event]) -> None:
        oldest = time.monotonic() - UNHEARD_SECONDS
        for event in list(queue):
            if event.enqueue_time < oldest and not self.is_heard(event):
                queue.remove(event)
                self.event_ids_to_events.pop(event._id, None)

    def is_heard(self, event: Event) -> bool:
        return bool(self.listeners[event.session_hash] or self.listeners[event._id])

    def stop_listening(self, session: str) -> None:
        self.listeners[session] -= 1
        if not self.listeners[session]:
            del self.listeners[session]
        if session in self.used:
            self.used[session] = time.monotonic()

    def forget_unheard(self) -> None:
        """Forget the answers that nobody has fetched: gradio would keep them for ever."""
        busy = {event.session_hash for event in list(self.event_ids_to_events.values())}
        oldest = time.monotonic() - FORGET_SECONDS
        for session, last in list(self.used.items()):
            if last < oldest and session not in busy and not self.listeners[session]:
                del self.used[session]
                self.pending_messages_per_session.pop(session, None)
                self.pending_event_ids_session.pop(session, None)


def keys_of(event: Event) -> tuple[str, str]:
    address = address_of(event.request.scope)
    return address, f"{address} {event.session_hash}"
