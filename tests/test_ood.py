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
    logits, features = torch.randn(7, 10), torch.randn(7, 3)
    if xp is np:
        logits, features = logits.numpy(), features.numpy()
    weights = (0.5, -2.0, 0.25)
    expected = {"confidence": [], "energy": [], "linear": []}
    for row, (a, b, c) in zip(logits.tolist(), features.tolist(), strict=True):
        exponentials = [math.exp(value / 1.5) for value in row]
        expected["confidence"].append(max(exponentials) / sum(exponentials))
        expected["energy"].append(math.log(sum(map(math.exp, row))))
        expected["linear"].append(0.5 * a - 2 * b + 0.25 * c)
    plain = dataclasses.replace(MobileNetV3Cifar().config, temperature=1.5)
    for name, scores in expected.items():
        given = weights if name == "linear" else ()
        config = dataclasses.replace(plain, ood_score=name, ood_weights=given)
        computed = ood.score(xp, config, logits, features)
        assert str(computed.dtype).endswith("float32")
        assert computed.tolist() == pytest.approx(scores, rel=1e-5, abs=1e-6), name
    energy = dataclasses.replace(plain, ood_score="energy")
    assert ood.score(xp, energy, 1e4 * logits, features).max() < math.inf


def test_a_prediction_says_its_score_and_whether_it_is_probably_none(sample):
    model = MobileNetV3Cifar().eval()
    prediction = model.predict(sample[0][0], top_k=1)
    assert prediction.ood_score == pytest.approx(*prediction.values())
    assert not prediction.probably_none  # without a threshold, no image is flagged
    for step, flagged in ((-0.01, False), (0.01, True)):
        threshold = prediction.ood_score + step
        model.config = dataclasses.replace(model.config, ood_threshold=threshold)
        assert model.predict(sample[0][0]).probably_none == flagged
        assert explain(model, sample[0][0]).probabilities.probably_none == flagged
    copied = pickle.loads(pickle.dumps(prediction))
    assert (copied, copied.ood_score) == (prediction, prediction.ood_score)
