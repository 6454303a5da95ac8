"""Check model cards before a push, merge them with the repository's card, or generate them."""

import re
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData
from yaml import YAMLError

from mobilenetv3_cifar.config import Config
from mobilenetv3_cifar.errors import ModelFolderError, printable
from mobilenetv3_cifar.files import read_file

CARD_FILE = "README.md"
MAX_CARD_BYTES = 2**20
NOTES = re.compile(r"<!-- notes -->(.*?)<!-- /notes -->", re.DOTALL)
PLAIN = """---
{metadata}
---

# {size} MobileNetV3, {num_classes} classes

Made with the Python package mobilenetv3-cifar{origin}. It states no accuracy: none was measured
when these weights were pushed.

```python
from mobilenetv3_cifar import MobileNetV3Cifar

model = MobileNetV3Cifar.from_pretrained("{repo_id}")
model.predict("image.png")  # {{label: probability}}
```

Classes: {labels}.

<!-- notes -->
<!-- /notes -->
"""


def read_card(folder: Path) -> str:
    """The card of a model folder; ModelFolderError if it is missing or its metadata is invalid."""
    path = folder / CARD_FILE
    try:
        text = read_file(path, MAX_CARD_BYTES).decode("utf-8")
        ModelCard(text)
    except FileNotFoundError as error:
        raise ModelFolderError(f"{path} is missing; a push needs a card") from error
    except OSError as error:
        raise ModelFolderError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, YAMLError) as error:
        raise ModelFolderError(
            f"{path} is refused, its metadata is invalid: {printable(str(error), 300)}"
        ) from error
    return text


def is_generated(card: str) -> bool:
    """Whether this project generated the card: every generated card has a section for notes."""
    return NOTES.search(card) is not None


def merge_cards(local: str, remote: str) -> str:
    """The card to push, from the folder's card and the repository's, which may be empty.

    If the repository's card was generated, it is replaced, but its notes are kept. A hand-written
    card is kept, and missing keys and tags are added to its metadata.
    """
    notes = NOTES.search(remote)
    if notes is None:
        return add_metadata(remote, local) if remote else local
    if not is_generated(local):
        return f"{local}\n{notes.group()}\n"
    return NOTES.sub(lambda _: notes.group(), local, count=1) if notes[1].strip() else local


def add_metadata(remote: str, local: str) -> str:
    """The remote card with the local card's missing keys and tags, or unchanged if unreadable."""
    try:
        card, new = ModelCard(remote), ModelCard(local).data
    except (ValueError, TypeError, YAMLError):
        return remote
    before = card.data.to_dict()
    for key, value in new.to_dict().items():
        if card.data.get(key) is None:
            card.data[key] = value
    if isinstance(before.get("tags"), list):
        card.data["tags"] = [*dict.fromkeys([*before["tags"], *(new.get("tags") or [])])]
    return remote if card.data.to_dict() == before else str(card)


def plain_card(config: Config, repo_id: str, origin: str | None = None, base: str = "") -> str:
    """A card for a network without measurements, from its config and origin.

    Args:
        origin: the repository or shipped variant that the network was made from.
        base: the card of `origin`; its licence is copied to the new card.
    """
    data = ModelCardData(
        library_name="mobilenetv3-cifar",
        pipeline_tag="image-classification",
        tags=["mobilenetv3", "pytorch", "image-classification"],
        license=ModelCard(base).data.get("license") if base else None,
        base_model=origin if origin and "/" in origin else None,
    )
    return PLAIN.format(
        metadata=data.to_yaml(),
        size=config.size.capitalize(),
        num_classes=config.num_classes,
        origin=f", from `{origin}`" if origin else "",
        labels=", ".join(config.labels),
        repo_id=repo_id,
    )
