"""Make gradio's queue fair: visitors take turns, and no visitor can fill the queue."""

import math
import re
import time
from collections import Counter
from typing import Any

import fastapi
from gradio.data_classes import PredictBodyInternal
from gradio.queueing import Event, Queue
from starlette.exceptions import HTTPException

from demo.serving.budgets import address_of, under_way
from demo.serving.folder import GONE, find_file

MAX_WAITING = 256  # maximum number of waiting events, over all visitors
MAX_OF_ADDRESS = 96
MAX_OF_SESSION = 12
UNHEARD_SECONDS = 10  # an event that waits longer is dropped if its visitor has left
FORGET_SECONDS = 120  # an answer that nobody has fetched after this time is dropped
WORD = r"[A-Za-z0-9_-]{1,64}"  # the ID of a session or an event, or the name of a function


class FairQueue(Queue):
    """A queue in which client addresses take turns, and the sessions of an address take turns too.

    The next turn goes to the address whose last turn was longest ago and, within this address, to
    the session whose last turn was longest ago. That session's oldest event is next.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(max_size=MAX_WAITING, **options)
        self.turns: dict[str, float] = {}  # when each address and each session last had a turn

    async def push(
        self, body: PredictBodyInternal, request: fastapi.Request, username: str | None
    ) -> Any:
        """Queue an event, unless its values are invalid or its visitor has sent too many events."""
        function = self.blocks.fns.get(body.fn_index) if body.fn_index is not None else None
        if function is None or not function.queue:
            raise HTTPException(404, "Unknown function.")
        if body.session_hash is not None and not re.fullmatch(WORD, body.session_hash):
            raise HTTPException(400, f"The session hash must match {WORD}.")
        replace_paths(body.data)
        data = body.event_data if isinstance(body.event_data, dict) else {}
        body.event_data = {"id": data.get("id")}  # the only event data that functions use
        unfinished = self.event_ids_to_events.values()
        counts: Counter[str | None] = Counter(key for each in unfinished for key in keys_of(each))
        of_address, of_session = counts[address_of(request.scope)], counts[body.session_hash]
        if of_address >= MAX_OF_ADDRESS or of_session >= MAX_OF_SESSION:
            return False, "Too many of your requests are waiting: try again later.", "queue_full"
        return await super().push(body, request, username)

    def get_events(self) -> tuple[list[Event], bool, str] | None:
        """Remove the next event from its queue, and return it in a list.

        The list never has more than one event, because no function takes batches.
        """
        ready: list[Event] = []
        for queue in self.event_queue_per_concurrency_id.values():
            self.drop_unheard(queue.queue)
            limit = queue.concurrency_limit
            if limit is None or queue.current_concurrency < limit:
                ready += queue.queue
        if not ready:
            return None
        event = min(ready, key=self.last_turns)
        self.event_queue_per_concurrency_id[event.concurrency_id].queue.remove(event)
        self.turns |= dict.fromkeys(keys_of(event), time.monotonic())
        return [event], False, event.concurrency_id

    def last_turns(self, event: Event) -> list[float]:
        return [*(self.turns.get(key, 0.0) for key in keys_of(event)), event.enqueue_time]

    def drop_unheard(self, queue: list[Event]) -> None:
        oldest = time.monotonic() - UNHEARD_SECONDS
        for event in list(queue):
            if event.enqueue_time < oldest and not is_heard(event.session_hash, event._id):
                queue.remove(event)
                self.event_ids_to_events.pop(event._id, None)

    def forget_unheard(self) -> None:
        """Drop answers that nobody fetched within FORGET_SECONDS, since gradio never drops them."""
        oldest = time.monotonic() - FORGET_SECONDS
        self.turns = {key: last for key, last in self.turns.items() if last > oldest}
        recent = {*self.turns, *(event.session_hash for event in self.event_ids_to_events.values())}
        for session in {*self.pending_messages_per_session, *self.pending_event_ids_session}:
            if session not in recent and not is_heard(session):
                self.pending_messages_per_session.pop(session, None)
                self.pending_event_ids_session.pop(session, None)


def is_heard(*names: str) -> bool:
    """Return whether a stream is open for one of `names`, which are IDs of sessions or events."""
    return any(under_way["streams"][name] for name in names)


def keys_of(event: Event) -> tuple[str, str]:
    """Return the address and the session of an event.

    A session's ID never equals an address, because WORD allows neither dots nor colons in an ID.
    """
    return address_of(event.request.scope), event.session_hash


def replace_paths(data: list[Any]) -> None:
    """Replace the masked file paths in an event's values with real paths, and remove file URLs.

    Otherwise, gradio would fetch any URL and read any file.

    Raises:
        HTTPException: a path leads to no file in this process's folder, a number is not finite, or
            a string is not valid Unicode.
    """
    rest: list[Any] = [data]
    while rest:
        value = rest.pop()
        if isinstance(value, list):
            rest.extend(value)
        elif isinstance(value, dict):
            if isinstance(path := value.get("path"), str):
                if (file := find_file(path)) is None:
                    raise HTTPException(403, f"{GONE.capitalize()}.")
                value["path"] = str(file)
                value.pop("url", None)
            rest.extend((*value, *value.values()))
        elif isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise HTTPException(400, "The text contains an invalid character.") from error
        elif isinstance(value, float) and not math.isfinite(value):
            raise HTTPException(400, "A number is not finite.")
