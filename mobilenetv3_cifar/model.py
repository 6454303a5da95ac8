"""The network class `MobileNetV3Cifar`, which turns images into predictions."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from mobilenetv3_cifar.architecture import LAYOUTS, STYLES, build_features, build_head
from mobilenetv3_cifar.config import Blocks, Config, OodScore, Size, fill_labels, plain
from mobilenetv3_cifar.images import ImageInput
from mobilenetv3_cifar.prediction import TorchClassifier
from mobilenetv3_cifar.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Resize
from mobilenetv3_cifar.pretrained import Pretrained


class MobileNetV3Cifar(Pretrained, TorchClassifier):
    """MobileNetV3 for small images: normalised float32 (N, 3, H, W) -> logits (N, num_classes).

    Args:
        size: "small" or "large" (see figure 1 of the report).
        blocks: "report" has the report's bottlenecks, and "paper" has those of Howard et al.
            "cifar32" adapts "paper" to 32x32 images and has a head of one linear layer.
        dropout: probability, in [0, 1), of dropping an input of the head's last layer.
        num_classes: number of classes.
        labels: one name per class. The default is CIFAR-10's labels if `num_classes` is 10, else
            "class 0", "class 1" and so on.
        image_size: height and width in pixels of the network's input; by default, 32 for "cifar32"
            blocks, else 224.
        mean: means of red, green and blue in [0, 1], which are subtracted from the image.
        std: standard deviations of red, green and blue, by which the difference is divided.
        temperature: `predict` divides the logits by it before the softmax; 1 has no effect.
        ood_score: the score that is compared with `ood_threshold`: "confidence" (the top
            probability) or "energy". A higher score means that the image more likely shows one of
            the classes.
        ood_threshold: an image whose score is below this threshold is flagged as probably showing
            none of the classes. With None, no image is flagged.

    Raises:
        ValueError: an argument is not valid; the message names the argument.
    """

    def __init__(
        self,
        *,
        size: Size = "small",
        blocks: Blocks = "report",
        dropout: float = 0.0,
        num_classes: int = 10,
        labels: Sequence[str] | None = None,
        image_size: int | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        temperature: float = 1.0,
        ood_score: OodScore = "confidence",
        ood_threshold: float | None = None,
    ) -> None:
        super().__init__()
        default_size = 32 if blocks == "cifar32" else 224
        self.config = Config(
            size=size,
            blocks=blocks,
            dropout=dropout,
            num_classes=num_classes,
            labels=fill_labels(labels, num_classes),
            image_size=default_size if image_size is None else image_size,
            mean=plain(mean),
            std=plain(std),
            temperature=temperature,
            ood_score=ood_score,
            ood_threshold=ood_threshold,
        )
        layout = LAYOUTS[size, blocks]
        self.num_features = layout.last  # channels of forward_features
        self.features = build_features(layout, STYLES[blocks])
        self.head = build_head(layout, self.config.dropout, self.config.num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> the last feature map, (N, num_features, h, w)."""
        return self.features(x)

    def forward_head(self, features: Tensor) -> Tensor:
        """(N, num_features, h, w) -> logits (N, num_classes)."""
        pooled = features.mean(dim=(2, 3), keepdim=True)  # (N, num_features, 1, 1)
        return self.head(pooled).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def preprocess(
        self, image: ImageInput, resize: Resize = "via_32", *, view: Resize | None = None
    ) -> Tensor:
        """An image -> the network's input, float32 (1, 3, image_size, image_size).

        Args:
            resize: "via_32" first reduces a larger image to 32x32, so that it is as sharp as the
                training images. "direct" resizes only once, as in listing 11 of the report.
            view: deprecated name of `resize`, with the values "cifar" for "via_32" and "report" for
                "direct".

        Raises:
            ImageError: the image cannot be opened.
        """
        return self.transform(view or resize)(image)[None]

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.head[-1]

    @property
    def pretrained_cfg(self) -> dict[str, Any]:
        """A dictionary with those keys of timm's `pretrained_cfg` that apply to this network.

        From it, timm's `resolve_data_config` and `create_transform` make the transform that
        `preprocess(image, "direct")` applies. `transform()` returns the transform of `predict`.
        """
        config = self.config
        return {
            "architecture": f"mobilenetv3_{config.size}",
            "input_size": (3, config.image_size, config.image_size),
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "crop_mode": "squash",
            "mean": config.mean,
            "std": config.std,
            "num_classes": config.num_classes,
            "label_names": list(config.labels),
            "first_conv": "features.stem",
            "classifier": f"head.{len(self.head) - 1}",
        }
