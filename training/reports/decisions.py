"""What a trained network needs to decide: temperature, and the threshold of "none of the classes".

Both are fitted on validation images alone, with the weights as shipped.
"""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from mobilenetv3_cifar import MobileNetV3Cifar, classifier
from mobilenetv3_cifar.config import MAX_TEMPERATURE, MIN_TEMPERATURE, Config, OodScore
from mobilenetv3_cifar.prediction import evaluation_copy
from training.dataset.cifar10 import Cifar10
from training.loop.validation import Outputs, split_outputs

FLAGGED = 0.05  # of the validation images are flagged as probably none of the classes


def fit_decisions(model: MobileNetV3Cifar, score: OodScore, data: Cifar10) -> Config:
    """The network's config with the temperature and the threshold of `score` that fit it."""
    validation = split_outputs(model, data.validation, "validation")
    temperature = fit_temperature(validation.logits, data.validation.labels)
    config = dataclasses.replace(
        model.config, temperature=temperature, ood_score=score, ood_threshold=None
    )
    scores = ood_scores(with_decisions(model, config, data), validation)
    return dataclasses.replace(config, ood_threshold=fit_threshold(scores))


def with_decisions(model: MobileNetV3Cifar, config: Config, data: Cifar10) -> MobileNetV3Cifar:
    """The same network under another config, on the CPU."""
    tensors = {name: value.cpu() for name, value in model.state_dict().items()}
    if config.ood_score == "fdbd":
        tensors["feature_mean"] = split_outputs(model, data.train, "train").features.mean(0)
    decided = MobileNetV3Cifar(**dataclasses.asdict(config)).eval()
    decided.load_state_dict(tensors, strict=True)
    return decided


def ood_scores(model: MobileNetV3Cifar, outputs: Outputs) -> np.ndarray:
    """The config's score of each image, float (N,)."""
    arrays = classifier.Outputs(*(np.asarray(values) for values in outputs))
    return evaluation_copy(model).cpu().ood_scores(arrays)


def fit_threshold(scores: np.ndarray) -> float:
    """The score that 5 % of these images, all of known classes, stay below."""
    return float(f"{np.quantile(scores.astype(np.float64), FLAGGED):.6g}")


def fit_temperature(logits: Tensor, labels: np.ndarray) -> float:
    """The temperature that gives these logits the least cross entropy (Guo et al. 2017).

    It stays within the config's bounds: for logits that know nothing, the best would be infinite.
    """
    truth = torch.from_numpy(labels.astype(np.int64))
    log_temperature = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature], line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(logits.double() / log_temperature.exp(), truth)
        value.backward()
        return value

    optimizer.step(loss)
    fitted = float(log_temperature.detach().exp())
    return round(min(max(fitted, MIN_TEMPERATURE), MAX_TEMPERATURE), 4)
