"""The model card: checked before it is pushed, its notes kept; and a plain one for lack of any."""

import re
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData
from yaml import YAMLError

from mobilenetv3_cifar.config import Config
from mobilenetv3_cifar.errors import ModelFolderError

CARD_FILE = "README.md"
NOTES = re.compile(r"<!-- notes -->(.*?)<!-- /notes -->", re.DOTALL)
PLAIN = """---
{metadata}
---

# {size} MobileNetV3, {num_classes} classes

Made with the Python package mobilenetv3-cifar. No accuracy is stated here: none was measured when
these weights were pushed.

```python
from mobilenetv3_cifar import MobileNetV3Cifar

model = MobileNetV3Cifar.from_pretrained("{repo_id}")
model.predict("picture.png")  # {{label: probability}}
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
        text = path.read_text(encoding="utf-8")
        ModelCard(text)
    except FileNotFoundError as error:
        raise ModelFolderError(f"{path} is missing; what is pushed has a card") from error
    except OSError as error:
        raise ModelFolderError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, YAMLError) as error:
        raise ModelFolderError(f"{path} is refused, its metadata is not valid: {error}") from error
    return text


def keep_notes(ours: str, theirs: str) -> str:
    """Our card with the notes of theirs, if there are any; at its end, if it has no place."""
    kept = NOTES.search(theirs)
    if kept is None:
        return ours
    if NOTES.search(ours) is None:
        return f"{ours}\n{kept.group()}\n"
    return NOTES.sub(lambda _: kept.group(), ours, count=1) if kept[1].strip() else ours


def plain_card(config: Config, repo_id: str) -> str:
    """An honest card for a network of which nothing is known but its config."""
    data = ModelCardData(
        library_name="mobilenetv3-cifar",
        pipeline_tag="image-classification",
        tags=["mobilenetv3", "pytorch", "image-classification"],
    )
    return PLAIN.format(
        metadata=data.to_yaml(),
        size=config.size.capitalize(),
        num_classes=config.num_classes,
        labels=", ".join(config.labels),
        repo_id=repo_id,
    )
