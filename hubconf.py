"""For torch.hub: `torch.hub.load("owner/repository", "mobilenetv3_cifar")`, or source="local"."""

from mobilenetv3_cifar import MobileNetV3Cifar as _MobileNetV3Cifar
from mobilenetv3_cifar.variants import get_variant as _get_variant

dependencies = ["torch", "numpy", "PIL", "safetensors", "huggingface_hub"]


def mobilenetv3_cifar(
    variant: str | None = None, *, device: str = "cpu", num_classes: int | None = None
) -> _MobileNetV3Cifar:
    """The shipped variant of that name, or the best one; see MobileNetV3Cifar.from_pretrained."""
    name = _get_variant().name if variant is None else variant
    return _MobileNetV3Cifar.from_pretrained(name, device=device, num_classes=num_classes)
