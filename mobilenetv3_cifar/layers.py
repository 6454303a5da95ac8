"""The layers of a network's feature extractor, for maps of layers before the last one."""

import itertools

from torch import nn


def stages(features: nn.Module) -> dict[str, nn.Module]:
    """The steps of the feature extractor, by name. Each bottleneck is one step."""
    steps: dict[str, nn.Module] = {}
    for name, part in features.named_children():
        if name == "blocks":
            steps |= {f"features.blocks.{index}": block for index, block in part.named_children()}
        else:
            steps[f"features.{name}"] = part
    return steps


def last_of_each_resolution(features: nn.Module) -> list[str]:
    """The names of the steps that are followed by a step with a strided convolution."""
    pairs = itertools.pairwise(stages(features).items())
    return [name for (name, _), (_, following) in pairs if strided(following)]


def strided(stage: nn.Module) -> bool:
    return any(isinstance(part, nn.Conv2d) and max(part.stride) > 1 for part in stage.modules())


def split_at(features: nn.Module, layer: str) -> tuple[nn.Module, nn.Module]:
    """Split the feature extractor into two modules, after a layer that `layers` lists."""
    if layer == "features":
        return features, nn.Identity()
    steps = stages(features)
    end, parts = [*steps].index(layer) + 1, [*steps.values()]
    return nn.Sequential(*parts[:end]), nn.Sequential(*parts[end:])
