"""Model cards: checked before a push, merged with what a person wrote, or generated."""

import re
import tempfile
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData, metadata_load, metadata_save
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
    """The card of a model folder.

    Raises:
        ModelFolderError: there is none, or its metadata is not valid.
    """
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
            f"{path} is refused, its metadata is not valid: {printable(str(error), 300)}"
        ) from error
    return text


def merge_cards(local: str, remote: str) -> str:
    """The card to push: `local` is the folder's, `remote` the repository's, empty if it has none.

    A generated card is replaced, except for the notes in it. One that a person wrote is kept; keys
    and tags missing from its metadata are added.
    """
    if not remote:
        return local
    return keep_notes(local, remote) if is_generated(remote) else add_metadata(remote, local)


def is_generated(card: str) -> bool:
    """Whether this project wrote the card: all its cards have a section for notes."""
    return NOTES.search(card) is not None


def keep_notes(local: str, remote: str) -> str:
    """The local card with the notes of the remote one, if it has any; at the end by default."""
    kept = NOTES.search(remote)
    if kept is None:
        return local
    if NOTES.search(local) is None:
        return f"{local}\n{kept.group()}\n"
    return NOTES.sub(lambda _: kept.group(), local, count=1) if kept[1].strip() else local


def add_metadata(remote: str, local: str) -> str:
    """The remote card; byte for byte if nothing is missing or its metadata cannot be read."""
    try:
        old, new = load_metadata(remote), load_metadata(local)
    except (ValueError, YAMLError):
        return remote
    tags = old.get("tags", [])
    merged = old | {key: value for key, value in new.items() if key not in old}
    if isinstance(tags, list):
        merged["tags"] = [*tags, *(tag for tag in new.get("tags", []) if tag not in tags)]
    if merged == old:
        return remote
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, CARD_FILE)
        path.write_bytes(remote.encode())
        metadata_save(path, merged)
        return path.read_bytes().decode()


def load_metadata(card: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, CARD_FILE)
        path.write_bytes(card.encode())
        return metadata_load(path) or {}


def plain_card(
    config: Config, repo_id: str, base_model: str | None = None, base_card: str = ""
) -> str:
    """A card for a network of which only its config and its origin are known.

    Args:
        base_model: the repository or shipped variant that it was made from.
        base_card: the card of that; the new card states its licence.
    """
    base = load_metadata(base_card)
    data = ModelCardData(
        library_name="mobilenetv3-cifar",
        pipeline_tag="image-classification",
        tags=["mobilenetv3", "pytorch", "image-classification"],
        license=base.get("license"),
        base_model=base_model if base_model and "/" in base_model else None,
    )
    return PLAIN.format(
        metadata=data.to_yaml(),
        size=config.size.capitalize(),
        num_classes=config.num_classes,
        origin=f", from `{base_model}`" if base_model else "",
        labels=", ".join(config.labels),
        repo_id=repo_id,
    )
