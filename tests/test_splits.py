"""These tests check the splits of CIFAR-10's training images, and the shipped 600-image sample."""

import numpy as np
import pytest

from training.dataset import cifar10
from training.errors import DataError


def test_the_report_split_is_the_pinned_permutation():
    train, validation = cifar10.split_indices()
    assert (len(train), len(validation)) == (35_000, 15_000)
    assert np.array_equal(np.sort(np.concatenate([train, validation])), np.arange(50_000))


def test_the_own_splits_validate_on_the_same_part_of_the_reports_validation_images():
    _, report = cifar10.split_indices("35k/15k")
    train, validation = cifar10.split_indices("45k/5k")
    everything, same = cifar10.split_indices("50k")
    assert np.array_equal(validation, same)
    assert np.isin(validation, report).all()
    assert (len(train), len(validation)) == (45_000, 5_000)
    assert np.array_equal(np.sort(np.concatenate([train, validation])), np.arange(50_000))
    assert np.array_equal(everything, np.arange(50_000))


@pytest.mark.parametrize("split", cifar10.SPLITS)
def test_another_split_would_be_noticed(monkeypatch, split):
    monkeypatch.setattr(cifar10, "SPLIT_SEED", 1)
    with pytest.raises(DataError, match="have changed: their SHA-256 is"):
        cifar10.split_indices(split)


def test_an_unknown_split_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match="unknown split 'none'; known splits: 35k/15k"):
        cifar10.load(tmp_path, "none")


def test_the_shipped_sample_holds_sixty_images_of_each_class(sample):
    pixels, labels = sample
    assert np.bincount(labels).tolist() == [60] * 10
    assert len(np.unique(pixels.reshape(600, -1), axis=0)) == 600
    assert cifar10.Cifar10._fields == ("train", "validation", "test", "sha256")
