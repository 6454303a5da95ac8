"""Define the model that `torch.hub.load("owner/repository", "mobilenetv3_cifar")` loads."""

from typing import Any as _Any

from mobilenetv3_cifar import MobileNetV3Cifar as _MobileNetV3Cifar
from mobilenetv3_cifar.variants import get_variant as _get_variant

dependencies = ["torch", "numpy", "PIL", "safetensors", "huggingface_hub", "yaml"]


def mobilenetv3_cifar(
    variant: str | None = None, *, pretrained: bool = True, **options: _Any
) -> _MobileNetV3Cifar:
    """Load the shipped variant `variant`, by default the one with the best validation accuracy.

    Args:
        pretrained: if False, return an untrained network with the variant's architecture.
        options: arguments of `MobileNetV3Cifar.from_pretrained`, such as device, labels or dropout.
    """
    model = _MobileNetV3Cifar.from_pretrained(variant or _get_variant().name, **options)
    if pretrained:
        return model
    # Drop the values that were fitted to the trained weights, unless the caller set them.
    fitted = {"temperature", "ood_score", "ood_weights", "ood_threshold"} - options.keys()
    config = model.config.to_dict()
    untrained = _MobileNetV3Cifar(**{key: config[key] for key in config.keys() - fitted})
    return untrained.to(next(model.parameters()).device)
