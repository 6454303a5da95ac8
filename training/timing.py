"""Timing several sides in turn, so that other work on the machine affects all alike."""

import time
from collections.abc import Callable, Sequence


def interleave(
    sides: Sequence[Callable[[], object]],
    rounds: int,
    repeats: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> list[list[float]]:
    """Seconds per call of each side, round by round, after one call of each that is not counted."""
    for side in sides:
        side()
    seconds: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for side, times in zip(sides, seconds, strict=True):
            begun = clock()
            for _ in range(repeats):
                side()
            times.append((clock() - begun) / repeats)
    return seconds
