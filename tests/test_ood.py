"""Out-of-distribution scores against their formulas, written as loops."""

import math

import pytest
import torch

from mobilenetv3_cifar import ood


def example(images=7, features=12, classes=4):
    head = torch.nn.Linear(features, classes)
    pooled = torch.randn(images, features)
    return pooled, head(pooled).detach(), head.weight.detach(), torch.randn(features)


def test_confidence_is_the_top_probability_after_temperature():
    logits = torch.tensor([[2.0, 0.0, -2.0], [0.0, 0.0, 0.0]])
    top = math.exp(1) / (math.exp(1) + 1 + math.exp(-1))
    assert ood.confidence(logits, 2.0).tolist() == pytest.approx([top, 1 / 3])


def test_energy_is_the_log_of_the_sum_of_exponentials():
    _, logits, _, _ = example()
    expected = [math.log(sum(math.exp(value) for value in row)) for row in logits.tolist()]
    assert ood.energy(logits).tolist() == pytest.approx(expected, rel=1e-5)


def test_fdbd_is_the_mean_distance_to_the_boundaries_over_that_to_the_mean():
    features, logits, weight, mean = example()
    expected = []
    for feature, row in zip(features, logits, strict=True):
        p = int(row.argmax())
        distances = [
            abs(row[p] - row[c]) / (weight[p] - weight[c]).norm() for c in range(len(row)) if c != p
        ]
        expected.append(float(sum(distances) / len(distances) / (feature - mean).norm()))
    found = ood.fdbd(features, logits, weight, mean)
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


def test_fdbd_is_the_distance_that_the_feature_has_to_move_to_change_the_class():
    features, logits, weight, mean = example(images=1, classes=2)
    p, c = logits[0].argsort(descending=True)
    normal = weight[p] - weight[c]
    step = (logits[0, p] - logits[0, c]) / normal.norm()
    on_boundary = (features - step * normal / normal.norm()) @ weight.T
    bias = logits - features @ weight.T
    moved = on_boundary + bias
    assert float(moved[0, p]) == pytest.approx(float(moved[0, c]), abs=1e-5)
    expected = float(step / (features - mean).norm())
    assert ood.fdbd(features, logits, weight, mean).item() == pytest.approx(expected, rel=1e-5)


def test_scores_are_finite_at_the_edges():
    features, logits, weight, mean = example(images=1)
    assert ood.fdbd(mean[None], logits, weight, mean).isfinite().all()  # at the mean itself
    assert ood.fdbd(features, logits[:, :1], weight[:1], mean).tolist() == [0]  # one class
    same = weight[:1].expand(4, -1)
    assert ood.fdbd(features, logits[:, :1].expand(-1, 4), same, mean).tolist() == [0]
    assert ood.energy(1e4 * logits).isfinite().all()


def test_a_score_is_chosen_by_name():
    features, logits, weight, mean = example()
    facts = {"temperature": 1.5, "weight": weight, "feature_mean": mean}
    expected = {
        "confidence": ood.confidence(logits, 1.5),
        "energy": ood.energy(logits),
        "fdbd": ood.fdbd(features, logits, weight, mean),
    }
    for name, values in expected.items():
        assert torch.equal(ood.score(name, features, logits, **facts), values)
    with pytest.raises(ValueError, match="'msp'"):
        ood.score("msp", features, logits, **facts)
    with pytest.raises(ValueError, match="one linear layer"):
        ood.score("fdbd", features, logits, temperature=1.0)
