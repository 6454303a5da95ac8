"""Load, save and push a network, and replace its last layer for fine-tuning."""

import contextlib
import dataclasses
import logging
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, TypedDict, Unpack

import torch
from torch import nn

from mobilenetv3_cifar import download, push
from mobilenetv3_cifar.architecture import LAYOUTS, conv
from mobilenetv3_cifar.card import CARD_FILE, plain_card, read_card
from mobilenetv3_cifar.config import Config, numbered_labels, plain, require
from mobilenetv3_cifar.errors import HubError, ModelFolderError, quote
from mobilenetv3_cifar.folder import check_fit, check_same, matches, write_folder
from mobilenetv3_cifar.variants import shipped_folder

logger = logging.getLogger(__name__)


class Overrides(TypedDict, total=False):
    """The config settings that can be replaced by keyword arguments of `from_pretrained`."""

    dropout: float
    image_size: int
    mean: Sequence[float]
    std: Sequence[float]
    temperature: float
    ood_threshold: float | None


class Pretrained(nn.Module):
    """The methods that load, save and push a `MobileNetV3Cifar`, and replace its last layer."""

    config: Config
    features: nn.Sequential
    head: nn.Sequential
    folder: Path | None = None  # the folder that the network was loaded from
    repository: str | None = None  # "owner/name" if the network came from the Hub

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
        **settings: Unpack[Overrides],
    ) -> Self:
        """Load a trained network, in evaluation mode and with float32 weights.

        Args:
            name: a shipped variant, an existing folder, or "owner/name" on the Hub. If several of
                these match, the first one in this order is loaded.
            revision: a branch, tag or commit of the Hub repository.
            cache_dir: the folder for downloads; by default, the cache of huggingface_hub.
            token: the Hub's access token, for private repositories.
            local_files_only: load the repository from the cache only, without network access.
            device: "cpu", "cuda", "cuda:1", "mps" and so on.
            num_classes: the number of classes to fine-tune for. If `num_classes` or `labels`
                differs from the trained network's value, an untrained last layer replaces the
                trained one, and a warning is logged.
            labels: the names of the classes to fine-tune for.
            settings: new values for dropout, image_size, mean, std, temperature or ood_threshold.

        Raises:
            VariantError: `name` is not a variant, folder or repository id; the message lists the
                variants.
            ModelFolderError: a file is missing or damaged, or does not match the config.
            HubError: the repository or revision is not found, or the request fails or is refused.
            ValueError: the device is unknown or unavailable, or a setting or label is not valid.
        """
        if unknown := settings.keys() - Overrides.__annotations__.keys():
            raise TypeError(f"from_pretrained() cannot change {quote(min(unknown))}")
        with torch.inference_mode(False):  # weights made in inference mode cannot be trained
            opened = download.open_model(name, revision, cache_dir, token, local_files_only)
            fields: dict[str, Any] = dataclasses.asdict(opened.config) | settings
            with torch.device("meta"):  # allocates no memory and draws no random numbers
                model = cls(**fields)
            check_fit(opened.tensors, model.state_dict(), f"{opened.path} is refused")
            model.load_state_dict(opened.tensors, strict=True, assign=True)
            model.folder, model.repository = opened.path, opened.repository
            if num_classes is not None or labels is not None:
                model.fit_classes(num_classes, labels)
                # Replacing the last layer has reset settings that the caller gave.
                model.config = dataclasses.replace(model.config, **settings)  # type: ignore[arg-type]
            try:
                return model.to(device).eval()
            # AssertionError: torch lacks CUDA. ImportError: a module for the device is missing.
            except (RuntimeError, AssertionError, ImportError) as error:
                raise ValueError(f"device {str(device)!r} cannot be used here: {error}") from error

    def fit_classes(self, num_classes: int | None, labels: Sequence[str] | None) -> None:
        """If the given classes differ from the current ones, replace the last layer and warn."""
        if labels is not None:
            labels = plain(labels)
            require("labels", labels)
        count = len(labels or ()) if num_classes is None else num_classes
        if count == self.config.num_classes and labels in (None, self.config.labels):
            return
        self.reset_classifier(count, labels)
        logger.warning(
            "the last layer, head.%d, was replaced by an untrained one for %d classes: train it",
            len(self.head) - 1,
            count,
        )

    def reset_classifier(self, num_classes: int, labels: Sequence[str] | None = None) -> None:
        """Replace the last layer with an untrained one for `num_classes` classes.

        `labels` has one name per class, by default "class 0", "class 1" and so on. The temperature
        and the out-of-distribution settings, which were fitted to the old classes, are reset.
        """
        self.config = dataclasses.replace(
            self.config,
            num_classes=num_classes,
            labels=numbered_labels(num_classes) if labels is None else plain(labels),
            temperature=1.0,
            ood_score="confidence",
            ood_weights=(),
            ood_threshold=None,
        )
        weight = next(self.features.parameters())
        layout = LAYOUTS[self.config.size, self.config.blocks]
        # The caller may be in inference mode, or may have set another default device.
        with torch.inference_mode(False), weight.device:
            last = conv(layout.hidden or layout.last, self.config.num_classes, 1, bias=True)
        self.head[-1] = last.to(weight.dtype)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write `config.json` and `model.safetensors`. A new folder is created in one atomic step.

        If the replacement of an older model is interrupted, the folder contains the old model, the
        new model, or a mixture that `from_pretrained` refuses. Other files in the folder are kept.

        Raises:
            ModelFolderError: the folder cannot be written, a weight is not finite, or the network's
                layers differ from its config.
        """
        self.check_layers()
        write_folder(Path(folder), self.config, self.state_dict())

    def check_layers(self) -> None:
        """Raise ModelFolderError if the network's layers differ from its config."""
        with torch.device("meta"):
            original = type(self)(**dataclasses.asdict(self.config))
        refused = (
            "this network's layers differ from its config (to change the classes, call "
            "reset_classifier)"
        )
        check_fit(self.state_dict(), original.state_dict(), refused)
        check_same("layer", describe_layers(self), describe_layers(original), refused)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        token: str | bool | None = None,
        private: bool | None = None,
        create_pr: bool = False,
        commit_message: str = "Upload the model",
    ) -> str:
        """Push the network to `repo_id` on the Hub. Return the URL of the commit or pull request.

        If the network was not changed after loading, and its folder or repository has a card, that
        card and the figures, measurements and ONNX files beside it are pushed too. Else, a new card
        is pushed. In `repo_id`, the config, weights and a generated card are replaced, and a
        hand-written card is kept. Other files are replaced or deleted only if the last push sent
        them and nobody has changed them since.

        Args:
            repo_id: "owner/name".
            token: the Hub's access token; by default, the token of `hf auth login`.
            private: whether a newly created repository is private.
            create_pr: whether to open a pull request instead of changing the main branch.

        Raises:
            ModelFolderError: the network, or a file that would be pushed with it, is refused.
            HubError: the Hub cannot be reached or refuses the push; the message says what to do.
        """
        with tempfile.TemporaryDirectory() as temporary:
            copy = Path(temporary, "copy")
            folder = self.folder_to_push(token, copy)
            if folder is None:
                folder = Path(temporary, "model")
                self.save_pretrained(folder)
                card = plain_card(self.config, repo_id, *self.find_origin(token, copy))
                (folder / CARD_FILE).write_text(card, encoding="utf-8")
            return push.push_folder(folder, repo_id, token, private, create_pr, commit_message)

    def folder_to_push(self, token: str | bool | None, copy: Path) -> Path | None:
        """Return the folder to push, or None if the network is new, was changed or has no card.

        For a network from the Hub, the repository's files that may be pushed are downloaded to the
        new folder `copy`, which is returned. For other networks, `self.folder` is returned.
        """
        folder = self.folder
        gone = folder is not None and not folder.is_dir()  # a temporary folder or a deleted cache
        if folder is None or not (gone or matches(folder, self.config, self.state_dict())):
            return None
        if self.repository is not None:
            download.fetch_files(self.repository, folder.name, token, push.is_allowed, copy)
            folder = copy
        if gone and not matches(folder, self.config, self.state_dict()):
            return None
        return folder if (folder / CARD_FILE).is_file() else None

    def find_origin(self, token: str | bool | None, copy: Path) -> tuple[str | None, str]:
        """Return the name of the loaded repository or variant, and the text of the network's card.

        For other networks, the name is None. If no card can be read, the text is "".
        """
        origin, card, folder = self.repository, "", self.folder
        if folder is not None and folder.is_dir():  # a temporary folder is gone by now
            if shipped_folder(folder.name) == folder:
                origin = folder.name
            with contextlib.suppress(ModelFolderError, HubError):  # an error leaves the card empty
                if self.repository is not None:
                    is_card = CARD_FILE.__eq__
                    download.fetch_files(self.repository, folder.name, token, is_card, copy)
                    folder = copy
                card = read_card(folder)
        return origin, card


def describe_layers(module: nn.Module) -> dict[str, str]:
    """Return {name: class and settings} for all layers that have no sublayers.

    Layers and settings that do not affect predictions are left out: dropout, identity layers,
    in-place activation, and the momentum and synchronisation of batch norm.
    """
    ignored = re.compile(r", momentum=[^,]*|inplace=True|Sync(?=BatchNorm)|(?<=BatchNorm)2d")
    return {
        name: ignored.sub("", repr(part))
        for name, part in module.named_modules()
        if not list(part.children()) and not isinstance(part, nn.Dropout | nn.Identity)
    }
