"""Threads: each call of a network takes one, and as many calls run at a time as there are cores.

With torch's default a call takes all cores. Calls of several visitors then wait for each other's
threads: beside nine busy processes one prediction took 73 to 247 ms, and 9 ms with one thread.
"""

import os

MAX_CALLS = 4  # at a time; each has working memory of its own
CALLS = min(MAX_CALLS, os.cpu_count() or 1)
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}


def use_one_thread() -> None:
    """Must be called before torch is imported; what the environment already says stays."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
