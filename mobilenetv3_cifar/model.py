"""MobileNetV3Cifar: the network, its config, and where it comes from and goes to."""

import dataclasses
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from mobilenetv3_cifar import download, hub
from mobilenetv3_cifar.architecture import LAYOUTS, STYLES, build_features, build_head
from mobilenetv3_cifar.card import CARD_FILE, plain_card
from mobilenetv3_cifar.config import (
    Blocks,
    Config,
    OodScore,
    Size,
    fill_labels,
    numbered_labels,
)
from mobilenetv3_cifar.folder import ModelFolder, check_folder_fits, holds, write_folder
from mobilenetv3_cifar.images import ImageInput
from mobilenetv3_cifar.prediction import TorchClassifier
from mobilenetv3_cifar.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Resize


class MobileNetV3Cifar(nn.Module, TorchClassifier):
    """MobileNetV3 for small pictures: float32 (N, 3, H, W), normalised -> logits (N, num_classes).

    Args:
        size: "small" (1.8 M parameters) or "large" (4.2 M), figure 1 of the report.
        blocks: "report" for the report's bottlenecks, "paper" for those of Howard et al., "cifar32"
            for the latter with strides for 32x32 images and a head of one linear layer.
        dropout: probability of dropping a hidden unit of the head, in [0, 1).
        num_classes: number of classes.
        labels: one name a class; CIFAR-10's where there are ten classes and none are given.
        image_size: height and width in pixels of the network's input; by default 32 with "cifar32"
            blocks, else 224.
        mean: of red, green and blue in [0, 1], subtracted from the network's input.
        std: standard deviations, which divide it.
        temperature: divides the logits before the softmax of `predict`; 1 leaves them as trained.
        ood_score: the score of `ood_threshold`: "confidence" (the top probability), "energy" or
            "fdbd"; higher means more likely one of the classes.
        ood_threshold: predictions with a lower score are flagged as probably none of the classes;
            None flags nothing.

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
        labels: Sequence[str] | None = None,
        image_size: int | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        temperature: float = 1.0,
        ood_score: OodScore = "confidence",
        ood_threshold: float | None = None,
    ) -> None:
        super().__init__()
        names = fill_labels(labels, num_classes)
        self.config = Config(
            size=size,
            blocks=blocks,
            dropout=dropout,
            num_classes=num_classes,
            labels=names,
            image_size=image_size or (32 if blocks == "cifar32" else 224),
            mean=tuple(mean),
            std=tuple(std),
            temperature=temperature,
            ood_score=ood_score,
            ood_threshold=ood_threshold,
        )
        self.folder: Path | None = None  # where it was loaded from
        self.repository: str | None = None  # on the Hub, if that is a snapshot in the cache
        layout = LAYOUTS[size, blocks]
        self.num_features = layout.last  # channels of forward_features
        if ood_score == "fdbd":
            # The mean of the training images' pooled features (Liu and Qin, fDBD, ICML 2024).
            self.register_buffer("feature_mean", torch.zeros(layout.last))
        self.features = build_features(layout, STYLES[blocks])
        self.head = build_head(layout, dropout, num_classes)

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
            resize: "via_32" reduces a larger image to 32x32 first, the sharpness of the training
                images; "direct" resizes once, as the report's listing 11 does.
            view: the former name of `resize`, deprecated.

        Raises:
            ImageError: the image cannot be opened.
        """
        return self.transform(view or resize)(image)[None]

    def __repr__(self) -> str:
        """One line; `print(model.features)` shows the layers."""
        shown = ("size", "blocks", "dropout", "num_classes", "image_size", "temperature")
        settings = ", ".join(f"{name}={getattr(self.config, name)!r}" for name in shown)
        return f"{type(self).__name__}({settings})"

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        device: str | torch.device = "cpu",
        num_classes: int | None = None,
        labels: Sequence[str] | None = None,
    ) -> Self:
        """A trained network, in evaluation mode, float32.

        Args:
            name: a shipped variant, else an existing folder, else "owner/name" on the Hub.
            revision: branch, tag or commit of the repository.
            cache_dir: where downloads are kept, if not where the Hub's client keeps them.
            token: the Hub's access token, for private repositories.
            local_files_only: take the repository from the cache; never go online.
            device: "cpu", "cuda", "cuda:1", "mps" and so on.
            num_classes: give the trained body a fresh head of so many classes, for fine-tuning.
            labels: the names of those classes.

        Raises:
            VariantError: no variant, folder or repository can be meant; lists the shipped variants.
            ModelFolderError: a file is missing, damaged, or not what the config says it is.
            HubError: the Hub cannot be reached, or refuses.
            ValueError: the device is none, or not there; the labels do not fit.
        """
        found = download.open_model(name, revision, cache_dir, token, local_files_only)
        model = cls.from_folder(found)
        if labels is not None:
            labels = fill_labels(labels, 0)
            num_classes = len(labels) if num_classes is None else num_classes
        if num_classes is not None:
            model = model.with_fresh_head(num_classes, labels)
        try:
            return model.to(device).eval()
        # Torch asserts that it was built for CUDA, and imports what other devices need.
        except (RuntimeError, AssertionError, ImportError) as error:
            raise ValueError(f"device {str(device)!r} cannot be used here: {error}") from error

    @classmethod
    def from_folder(cls, found: ModelFolder) -> Self:
        """The network of a folder that was read; ModelFolderError where the weights do not fit."""
        with torch.device("meta"):  # no memory, and no random numbers drawn
            model = cls(**dataclasses.asdict(found.config))
        check_folder_fits(found, model.state_dict())
        model.load_state_dict(found.tensors, strict=True, assign=True)
        model.folder, model.repository = found.path, found.repository
        return model

    def with_fresh_head(self, num_classes: int, labels: Sequence[str] | None = None) -> Self:
        """This network's body under an untrained head; both networks share the body."""
        fresh = type(self)(
            size=self.config.size,
            blocks=self.config.blocks,
            dropout=self.config.dropout,
            num_classes=num_classes,
            labels=numbered_labels(num_classes) if labels is None else labels,
            image_size=self.config.image_size,
            mean=self.config.mean,
            std=self.config.std,
        )
        fresh.features = self.features
        return fresh

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write `config.json` and `model.safetensors`; a new folder appears whole or not at all.

        Over an older model, a kill at any moment leaves the old one, the new one, or a folder that
        is refused as incomplete until the next save. Other files in the folder are left alone.

        Raises:
            ModelFolderError: the folder cannot be written, or a weight is not finite.
        """
        write_folder(Path(folder), self.config, self.state_dict())

    def push_to_hub(
        self,
        repo_id: str,
        *,
        token: str | bool | None = None,
        private: bool | None = None,
        create_pr: bool = False,
        tag: str | None = None,
        commit_message: str = "Upload the model",
    ) -> str:
        """Make "owner/name" on the Hub this network; return the URL of the commit or pull request.

        A network that is as it was loaded takes the card, figures and measurements along that its
        folder or repository has. Any other gets a plain card, and a former model's go.

        Args:
            token: the Hub's access token; without one, that of `hf auth login`.
            private: whether a repository that is created is private.
            create_pr: propose the change as a pull request.
            tag: a tag for the commit, such as "v1.0".

        Raises:
            HubError: the Hub cannot be reached or refuses; the message says what to do.
        """
        with tempfile.TemporaryDirectory() as temporary:
            folder = self.published_folder(token)
            if folder is None:
                folder = Path(temporary, "model")
                self.save_pretrained(folder)
                (folder / CARD_FILE).write_text(plain_card(self.config, repo_id), encoding="utf-8")
            return hub.push_folder(
                folder,
                repo_id,
                token=token,
                private=private,
                create_pr=create_pr,
                tag=tag,
                commit_message=commit_message,
            )

    def published_folder(self, token: str | bool | None) -> Path | None:
        """Where it was loaded from, if that has a card and still holds this very network."""
        if self.folder is None or not holds(self.folder, self.config, self.state_dict()):
            return None
        if self.repository is not None:
            download.complete(self.repository, self.folder, token)
        return self.folder if (self.folder / CARD_FILE).is_file() else None
