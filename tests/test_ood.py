"""These tests compare out-of-distribution scores with their formulas in plain Python."""

import dataclasses
import math
import pickle

import numpy as np
import pytest
import torch

from mobilenetv3_cifar import MobileNetV3Cifar, explain, ood

MODULES = pytest.mark.parametrize("xp", [np, torch], ids=["numpy", "torch"])


@MODULES
def test_every_score_is_its_formula(xp):
    logits = torch.randn(7, 4) if xp is torch else torch.randn(7, 4).numpy()
    expected = {"confidence": [], "energy": []}
    for row in logits.tolist():
        exponentials = [math.exp(value / 1.5) for value in row]
        expected["confidence"].append(max(exponentials) / sum(exponentials))
        expected["energy"].append(math.log(sum(map(math.exp, row))))
    for name, scores in expected.items():
        found = ood.score(xp, name, logits, 1.5)
        assert str(found.dtype).endswith("float32")
        assert found.tolist() == pytest.approx(scores, rel=1e-5), name
    assert ood.score(xp, "energy", 1e4 * logits, 1.0).max() < math.inf


def test_an_unknown_score_is_refused():
    with pytest.raises(ValueError, match="'msp'"):
        ood.score(np, "msp", np.zeros((1, 4)), 1.0)


def test_a_prediction_says_its_score_and_whether_it_is_probably_none(sample):
    model = MobileNetV3Cifar().eval()
    found = model.predict(sample[0][0], top_k=1)
    assert found.ood_score == pytest.approx(*found.values())
    assert not found.probably_none  # without a threshold, no image is flagged
    for step, flagged in ((-0.01, False), (0.01, True)):
        threshold = found.ood_score + step
        model.config = dataclasses.replace(model.config, ood_threshold=threshold)
        assert model.predict(sample[0][0]).probably_none == flagged
        assert explain(model, sample[0][0]).probabilities.probably_none == flagged
    copied = pickle.loads(pickle.dumps(found))
    assert (copied, copied.ood_score) == (found, found.ood_score)
