"""These tests check that weights are shipped in half precision unless rounding changes accuracy."""

import numpy as np
import pytest
import torch

from mobilenetv3_cifar import MobileNetV3Cifar
from tests.tiny import tiny_dataset, tiny_run
from training.dataset.cifar10 import Split
from training.loop.validation import split_logits
from training.reports import shipped_weights


def test_rounding_to_half_keeps_statistics_and_counters():
    weights = MobileNetV3Cifar().state_dict()
    weights["features.stem_norm.running_var"].fill_(1e-9)  # half precision would round this to 0
    rounded = shipped_weights.round_to_half(weights)
    assert rounded["features.stem_norm.running_var"].min() > 0
    assert rounded["features.stem_norm.num_batches_tracked"].dtype == torch.int64
    changed = [name for name in weights if not torch.equal(weights[name], rounded[name])]
    assert changed
    assert not [name for name in changed if "running" in name]


@pytest.mark.parametrize(("spoils", "precision"), [(False, "float16"), (True, "float32")])
def test_weights_that_rounding_hurts_are_shipped_in_single_precision(
    tmp_path, monkeypatch, spoils, precision
):
    run = tiny_run(tmp_path / "run")
    run.train()
    weights = run.learner.result.state_dict()
    data = tiny_dataset()
    if spoils:
        # Rounding now sets all weights to 0, so the network predicts the first class for every
        # image. The labels are the predictions of the exact network, so rounding reduces accuracy.
        monkeypatch.setattr(
            shipped_weights,
            "round_to_half",
            lambda exact: {name: 0 * value for name, value in exact.items()},
        )
        exact = shipped_weights.build_network(run.experiment, weights)
        predicted = split_logits(exact, data.validation).argmax(1).numpy().astype(np.uint8)
        assert predicted.any()  # at least one prediction is not the first class
        data = data._replace(validation=Split(data.validation.images, predicted))
    summary = shipped_weights.save_weights(
        tmp_path / "model", weights, run.experiment, data, torch.device("cpu"), None
    )
    assert summary["precision"].startswith(precision)
    loaded = MobileNetV3Cifar.from_pretrained(tmp_path / "model").state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in weights.items()) == spoils
