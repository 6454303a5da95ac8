"""These tests check that the demo's queue lets visitors take turns and drops abandoned events."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from demo.serving import budgets, queue
from demo.serving.queue import FairQueue

pytestmark = pytest.mark.filterwarnings("ignore:::gradio", "ignore:::PIL")


def event(address, session, number=0, age=0.0):
    scope = {"client": (address, 1)}
    return SimpleNamespace(
        _id=f"{address}-{session}-{number}",
        request=SimpleNamespace(scope=scope),
        session_hash=session,
        concurrency_id="network",
        enqueue_time=time.monotonic() - age + number / 1000,
    )


@pytest.fixture
def fair_queue():
    """Create a queue that has no server and processes one event at a time."""
    fair_queue = FairQueue(
        live_updates=False,
        concurrency_count=1,
        update_intervals=1,
        blocks=SimpleNamespace(fns={0: SimpleNamespace(queue=True)}),
        default_concurrency_limit=1,
    )
    fair_queue.event_queue_per_concurrency_id["network"] = SimpleNamespace(
        queue=[], concurrency_limit=1, current_concurrency=0
    )
    return fair_queue


def push(fair_queue, session):
    """Send an event from IP address "a" to the queue, and return the queue's answer."""
    body = SimpleNamespace(session_hash=session, fn_index=0, data=[], event_data=None)
    request = SimpleNamespace(scope={"client": ("a", 1)})
    return asyncio.run(fair_queue.push(body, request, None))


def waiting(fair_queue):
    return fair_queue.event_queue_per_concurrency_id["network"].queue


def test_addresses_and_then_sessions_take_turns(fair_queue):
    waiting(fair_queue).extend(event("a", "flood", number) for number in range(5))
    waiting(fair_queue).extend([event("a", "other", 6), event("b", "one", 7)])
    order = [fair_queue.get_events()[0][0] for _ in range(4)]
    assert [each.session_hash for each in order] == ["flood", "one", "other", "flood"]


def test_an_event_that_nobody_listens_for_is_dropped(fair_queue):
    heard, unheard, new = event("a", "x", age=60), event("a", "y", age=60), event("a", "z")
    waiting(fair_queue).extend([unheard, heard, new])
    with budgets.one_more("streams", "x"):
        assert [fair_queue.get_events()[0][0] for _ in range(2)] == [heard, new]
    assert fair_queue.get_events() is None


def test_a_session_has_a_share_of_the_queue(fair_queue):
    for number in range(queue.MAX_OF_SESSION):
        fair_queue.event_ids_to_events[f"{number}"] = event("a", "x", number)
    done, message, kind = push(fair_queue, "x")
    assert (done, kind) == (False, "queue_full")
    assert "Too many of your requests" in message


def test_a_session_named_none_takes_no_share_of_calls_without_a_session(fair_queue, monkeypatch):
    async def accept(self, body, request, username):
        return True, "id", "success"

    monkeypatch.setattr(queue.Queue, "push", accept)
    for number in range(queue.MAX_OF_SESSION):
        fair_queue.event_ids_to_events[f"{number}"] = event("b", "None", number)
    assert push(fair_queue, "None")[0] is False
    assert push(fair_queue, None)[0] is True


def test_answers_that_nobody_fetched_are_forgotten(fair_queue):
    for session in ("old", "heard", "new"):
        fair_queue.pending_messages_per_session[session] = asyncio.Queue()
        fair_queue.pending_event_ids_session[session] = {"x"}
        fair_queue.turns[session] = time.monotonic() - (0 if session == "new" else 1000)
    with budgets.one_more("streams", "heard"):
        fair_queue.forget_unheard()
    assert set(fair_queue.pending_messages_per_session) == {"heard", "new"}
    assert set(fair_queue.pending_event_ids_session) == {"heard", "new"}
    assert set(fair_queue.turns) == {"new"}
