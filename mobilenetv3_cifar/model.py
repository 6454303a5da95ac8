"""MobileNetV3Cifar: the network, its config, and where it comes from and goes to."""

from torch import Tensor, nn

from mobilenetv3_cifar.architecture import LAYOUTS, STYLES, build_features, build_head
from mobilenetv3_cifar.config import Blocks, Config, Size
from mobilenetv3_cifar.preprocessing import LABELS


class MobileNetV3Cifar(nn.Module):
    """MobileNetV3 for small pictures: float32 (N, 3, H, W), normalised -> logits (N, num_classes).

    Args:
        size: "small" (1.8 M parameters) or "large" (4.2 M), figure 1 of the report.
        blocks: "report" for the report's bottlenecks, "paper" for those of Howard et al.
        dropout: probability of dropping a hidden unit of the head, in [0, 1).
        num_classes: number of classes.
        labels: one name a class; CIFAR-10's where there are ten classes and none are given.
        image_size: height and width in pixels that `preprocess` gives.
        temperature: divides the logits before the softmax of `predict`; 1 leaves them as trained.

    Raises:
        ValueError: an argument is out of bounds; the message names it.
    """

    def __init__(
        self,
        *,
        size: Size = "small",
        blocks: Blocks = "report",
        dropout: float = 0.0,
        num_classes: int = 10,
        labels: tuple[str, ...] | None = None,
        image_size: int = 224,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        if labels is None:
            cifar = num_classes == len(LABELS)
            labels = LABELS if cifar else tuple(f"class {i}" for i in range(num_classes))
        self.config = Config(
            size, blocks, dropout, num_classes, tuple(labels), image_size, temperature
        )
        layout = LAYOUTS[size, blocks]
        self.num_features = layout.last  # channels of forward_features
        self.features = build_features(layout, STYLES[blocks])
        self.head = build_head(layout, dropout, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> the last feature map, (N, num_features, H / 32, W / 32)."""
        return self.features(x)

    def forward_head(self, features: Tensor) -> Tensor:
        """(N, num_features, h, w) -> logits (N, num_classes)."""
        pooled = features.mean(dim=(2, 3), keepdim=True)  # (N, num_features, 1, 1)
        return self.head(pooled).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))
