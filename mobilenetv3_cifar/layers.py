"""Choose layers for activation maps, and split a feature extractor after a given layer."""

from itertools import pairwise

from torch import nn


def stages(features: nn.Module) -> dict[str, nn.Module]:
    """Return the ordered parts of a feature extractor as {name: part}. A bottleneck is one part."""
    steps: dict[str, nn.Module] = {}
    for name, part in features.named_children():
        if name == "blocks":
            steps |= {f"features.blocks.{index}": block for index, block in part.named_children()}
        else:
            steps[f"features.{name}"] = part
    return steps


def last_of_each_resolution(features: nn.Module) -> list[str]:
    """Return the names of the parts that come directly before a part with stride 2 or more."""
    pairs = pairwise(stages(features).items())
    return [name for (name, _), (_, following) in pairs if strided(following)]


def strided(stage: nn.Module) -> bool:
    return any(isinstance(part, nn.Conv2d) and max(part.stride) > 1 for part in stage.modules())


def split_at(features: nn.Module, layer: str) -> tuple[nn.Module, nn.Module]:
    """Split `features` after the part `layer`, or after its last part if `layer` is "features"."""
    if layer == "features":
        return features, nn.Identity()
    steps = stages(features)
    end, parts = [*steps].index(layer) + 1, [*steps.values()]
    return nn.Sequential(*parts[:end]), nn.Sequential(*parts[end:])
