"""For torch.hub: `torch.hub.load("owner/repository", "mobilenetv3_cifar")`, or source="local"."""

import dataclasses as _dataclasses
from collections.abc import Sequence as _Sequence

from mobilenetv3_cifar import MobileNetV3Cifar as _MobileNetV3Cifar
from mobilenetv3_cifar.variants import get_variant as _get_variant

dependencies = ["torch", "numpy", "PIL", "safetensors", "huggingface_hub", "yaml"]


def mobilenetv3_cifar(
    variant: str | None = None,
    *,
    pretrained: bool = True,
    device: str = "cpu",
    num_classes: int | None = None,
    labels: _Sequence[str] | None = None,
    dropout: float | None = None,
) -> _MobileNetV3Cifar:
    """The shipped variant of that name, or the best one; see MobileNetV3Cifar.from_pretrained.

    Args:
        pretrained: False gives an untrained network of the variant's architecture.
        dropout: in place of the variant's own.
    """
    name = _get_variant().name if variant is None else variant
    settings = {} if dropout is None else {"dropout": dropout}
    model = _MobileNetV3Cifar.from_pretrained(
        name, device=device, num_classes=num_classes, labels=labels, **settings
    )
    if pretrained:
        return model
    fitted = {"temperature", "ood_score", "ood_threshold"}  # to the trained weights
    config = _dataclasses.asdict(model.config)
    return _MobileNetV3Cifar(**{key: config[key] for key in config.keys() - fitted})
