"""Time functions in alternating rounds, so that other processes affect all of them equally."""

import time
from collections.abc import Callable, Sequence


def interleave(
    sides: Sequence[Callable[[], object]],
    rounds: int,
    repeats: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> list[list[float]]:
    """Call each function once to warm up, then return its seconds per call in each round."""
    for side in sides:
        side()
    seconds: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for side, times in zip(sides, seconds, strict=True):
            started = clock()
            for _ in range(repeats):
                side()
            times.append((clock() - started) / repeats)
    return seconds
