"""These tests check which images and titles the figure of a training batch shows."""

import pytest

from mobilenetv3_cifar.config import Config
from mobilenetv3_cifar.preprocessing import LABELS
from tests.tiny import tiny_dataset
from training.experiments import CPU32, GPU32, REPORT
from training.reports import figures


@pytest.fixture
def draw(monkeypatch, tmp_path):
    """Return a function that draws a recipe's batch, and returns the figure's rows and title."""
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure))
    config = Config("small", "cifar32", 0.0, 10, LABELS, 32)

    def rows(recipe):
        figures.batch(tiny_dataset().train, config, recipe, tmp_path)
        axes = drawn[-1].axes
        assert len(axes) == 16
        return axes[:8], axes[8:], drawn[-1].get_suptitle()

    return rows


def titles(row):
    return [axes.get_title() for axes in row]


@pytest.mark.parametrize(("recipe", "smaller"), [(CPU32, 24), (GPU32, 32)], ids=["cpu", "gpu"])
def test_the_first_row_shows_mixed_labels_and_the_size_of_early_crops(draw, recipe, smaller):
    mixed, whole, title = draw(recipe)
    # In the sample, image i has class i. CutMix pastes the images in reverse order.
    pairs = [sorted((i, 7 - i)) for i in range(8)]
    assert titles(mixed) == [f"{LABELS[a]} + {LABELS[b]}" for a, b in pairs]
    assert titles(whole) == [LABELS[i % 10] for i in range(8, 16)]
    sizes = [row[0].images[0].get_array().shape for row in (mixed, whole)]
    assert sizes == [(smaller, smaller, 3), (32, 32, 3)]
    assert mixed[0].get_xlim() == whole[0].get_xlim() == (-0.5, 31.5)  # at the same scale
    assert "30 % (above) and 80 %" in title


def test_without_mixing_each_title_is_one_class(draw):
    first, second, title = draw(REPORT)
    assert titles([*first, *second]) == [LABELS[i % 10] for i in range(16)]
    assert title == ""
