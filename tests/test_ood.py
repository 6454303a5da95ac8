"""Out-of-distribution scores against their formulas, written as loops, in numpy and in torch."""

import dataclasses
import math
import pickle

import numpy as np
import pytest
import torch

from mobilenetv3_cifar import MobileNetV3Cifar, explain, ood

MODULES = pytest.mark.parametrize("xp", [np, torch], ids=["numpy", "torch"])


def example(xp, images=7, classes=4):
    """Features, logits, and the constants of "fdbd"."""
    head = torch.nn.Linear(12, classes)
    features, mean = torch.randn(images, 12), torch.randn(12)
    weight = head.weight.detach()
    distances = (weight[:, None] - weight).norm(dim=2)
    arrays = features, head(features).detach(), distances, mean
    features, logits, distances, mean = arrays if xp is torch else (a.numpy() for a in arrays)
    return features, logits, {"class_distances": distances, "feature_mean": mean}


@MODULES
def test_every_score_is_its_formula(xp):
    features, logits, constants = example(xp)
    scores = {"confidence": [], "energy": [], "fdbd": []}
    for feature, row in zip(features, logits.tolist(), strict=True):
        exponentials = [math.exp(value / 1.5) for value in row]
        scores["confidence"].append(max(exponentials) / sum(exponentials))
        scores["energy"].append(math.log(sum(map(math.exp, row))))
        p = row.index(max(row))
        distances = [
            (row[p] - row[c]) / float(constants["class_distances"][p, c])
            for c in range(len(row))
            if c != p
        ]
        to_mean = math.dist(feature.tolist(), constants["feature_mean"].tolist())
        scores["fdbd"].append(sum(distances) / len(distances) / to_mean)
    for name, expected in scores.items():
        found = ood.score(xp, name, features, logits, temperature=1.5, **constants)
        assert str(found.dtype).endswith("float32")
        assert found.tolist() == pytest.approx(expected, rel=1e-5), name


@MODULES
def test_scores_are_finite_at_the_edges(xp):
    features, logits, constants = example(xp, images=1)
    mean, zeros = constants["feature_mean"], xp.zeros_like(constants["class_distances"])

    def fdbd(features, logits, distances):
        facts = {"class_distances": distances, "feature_mean": mean}
        return ood.score(xp, "fdbd", features, logits, temperature=1.0, **facts).tolist()

    assert math.isfinite(fdbd(mean[None], logits, constants["class_distances"])[0])
    assert fdbd(features, logits[:, :1], zeros[:1, :1]) == [0]  # one class
    assert fdbd(features, 0 * logits, zeros) == [0]  # equal rows
    energy = ood.score(xp, "energy", features, 1e4 * logits, temperature=1.0)
    assert math.isfinite(energy.tolist()[0])


def test_an_unknown_score_and_missing_constants_are_refused():
    features, logits, _ = example(np)
    with pytest.raises(ValueError, match="'msp'"):
        ood.score(np, "msp", features, logits, temperature=1.0)
    with pytest.raises(ValueError, match="one linear layer"):
        ood.score(np, "fdbd", features, logits, temperature=1.0)


def test_a_prediction_says_its_score_and_whether_it_is_probably_none(sample):
    model = MobileNetV3Cifar().eval()
    found = model.predict(sample[0][0], top_k=1)
    assert found.ood_score == pytest.approx(*found.values())
    assert not found.probably_none  # no threshold
    for step, flagged in ((-0.01, False), (0.01, True)):
        threshold = found.ood_score + step
        model.config = dataclasses.replace(model.config, ood_threshold=threshold)
        assert model.predict(sample[0][0]).probably_none == flagged
        assert explain(model, sample[0][0]).probabilities.probably_none == flagged
    copied = pickle.loads(pickle.dumps(found))
    assert (copied, copied.ood_score) == (found, found.ood_score)


@pytest.mark.parametrize("score", ["confidence", "energy", "fdbd"])
def test_the_score_of_a_photograph_is_that_of_its_mean_logits_and_features(score, photograph):
    model = MobileNetV3Cifar(blocks="cifar32", ood_score=score, temperature=1.5).eval()
    if score == "fdbd":
        model.feature_mean.normal_()
    boxes = [(0, 0, 150, 96), (27, 0, 123, 96), (22, 14, 127, 81)]
    inputs = torch.cat([model.preprocess(photograph.crop(box)) for box in boxes])
    with torch.inference_mode():
        features = model.forward_features(inputs).mean((2, 3)).mean(0, keepdim=True)
        logits = model(inputs).mean(0, keepdim=True)
        weight = model.head[1].weight.flatten(1)
        facts = {
            "temperature": 1.5,
            "class_distances": torch.cdist(weight, weight),
            "feature_mean": model.feature_mean if score == "fdbd" else None,
        }
        expected = ood.score(torch, score, features, logits, **facts).item()
    assert model.predict(photograph).ood_score == pytest.approx(expected, rel=1e-4)
    assert torch.allclose(model.extract_features(photograph), features[0], atol=1e-5)


def test_fdbd_on_a_head_of_two_layers_is_refused(sample):
    model = MobileNetV3Cifar(blocks="cifar32", ood_score="fdbd").eval()
    model.head.insert(1, torch.nn.Conv2d(model.num_features, model.num_features, 1))
    with pytest.raises(ValueError, match="one linear layer"):
        model.predict(sample[0][0])
