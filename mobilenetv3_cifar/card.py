"""Check and generate model cards, and merge a model folder's card with a Hub repository's card."""

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

This network was made with the Python package mobilenetv3-cifar{origin}. This card states no
accuracy, because these weights were pushed without measurements.

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
    """Read the model card in `folder`. If it is missing or invalid, raise a ModelFolderError."""
    path = folder / CARD_FILE
    try:
        text = read_file(path, MAX_CARD_BYTES).decode("utf-8")
        ModelCard(text)
    except FileNotFoundError as error:
        raise ModelFolderError(f"{path} is missing; a push needs a card") from error
    except OSError as error:
        raise ModelFolderError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, YAMLError) as error:
        cause = printable(str(error), 300)
        raise ModelFolderError(f"{path} is refused: its metadata is invalid: {cause}") from error
    return text


def is_generated(card: str) -> bool:
    """Return whether `card` has a notes section. All cards that this project generates have one."""
    return NOTES.search(card) is not None


def merge_cards(local: str, remote: str) -> str:
    """Merge `local`, a model folder's card, with `remote`, a Hub repository's card.

    - If `remote` is "", return `local`.
    - If `remote` was generated, return `local` with the notes of `remote`, if there are any.
    - If `remote` was written by hand, return `add_metadata(remote, local)`.
    """
    notes = NOTES.search(remote)
    if notes is None:
        return add_metadata(remote, local) if remote else local
    if not notes[1].strip():
        return local
    if not is_generated(local):
        return f"{local}\n{notes.group()}\n"
    return NOTES.sub(lambda _: notes.group(), local, count=1)


def add_metadata(remote: str, local: str) -> str:
    """Return the card `remote`, extended by the metadata keys and tags that only `local` has.

    The key `model-index` is not added. If either card has invalid metadata, return `remote`
    unchanged.
    """
    try:
        card, new = ModelCard(remote), ModelCard(local).data
    except (ValueError, TypeError, YAMLError):
        return remote
    before = card.data.to_dict()
    for key, value in new.to_dict().items():
        # `model-index` is left out, because no later push would update its measurements.
        if key != "model-index" and card.data.get(key) is None:
            card.data[key] = value
    if isinstance(before.get("tags"), list):
        card.data["tags"] = [*dict.fromkeys([*before["tags"], *(new.get("tags") or [])])]
    return remote if card.data.to_dict() == before else str(card)


def plain_card(config: Config, repo_id: str, origin: str | None = None, base: str = "") -> str:
    """Generate a model card for a network that has no measurements.

    Args:
        origin: the repository or shipped variant that the network was loaded from.
        base: the text of the loaded network's card, whose licence is copied; "" without a card.
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
        origin=f", starting from `{origin}`" if origin else "",
        labels=", ".join(config.labels),
        repo_id=repo_id,
    )
