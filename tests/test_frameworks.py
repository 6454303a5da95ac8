"""This test runs `tests.frameworks` for accelerate only: the other frameworks are not installed."""

from tests.frameworks import check, finetune_with_accelerate


def test_accelerate_finetunes_and_the_result_loads():
    assert check(finetune_with_accelerate) > 0.85  # accuracy with two classes, animals and vehicles
