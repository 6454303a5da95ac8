"""Draw the figures of a model folder, in the style of the figures in the student report."""

from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from mobilenetv3_cifar import MobileNetV3Cifar, explain, overlay
from mobilenetv3_cifar.config import Config
from mobilenetv3_cifar.files import replace_files
from mobilenetv3_cifar.preprocessing import LABELS
from training.dataset.cifar10 import Split
from training.loop.augmentation import augment
from training.loop.draws import Draws, Normalization
from training.recipe import Recipe
from training.reports import results
from training.reports.results import Results

BATCH_IMAGES = 16


def draw_curves_and_matrices(folder: Path) -> None:
    one = results.read(folder)
    save(curves(one), folder / "curves.png")
    save(confusion_matrices(one), folder / "confusion_matrix.png")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file, with only 256 colours to halve the file's size."""
    content, small = BytesIO(), BytesIO()
    figure.savefig(content, dpi=100, bbox_inches="tight")
    image = Image.open(content).convert("RGB")
    reduced = image.quantize(palette=image.quantize(256), dither=Image.Dither.FLOYDSTEINBERG)
    reduced.save(small, "png", optimize=True)
    replace_files(path.parent, {path.name: small.getvalue()})


def curves(one: Results) -> Figure:
    """Plot the losses and accuracies of each epoch, as figures 4 to 11 of the student report do."""
    training = "training, augmented" if one.row.recipe.augmentations else "training"
    training += ", with dropout" if one.row.dropout else ""
    validation = f"validation ({run})" if (run := one.row.validated_by) else "validation"
    epochs = [row["epoch"] for row in one.history]
    ticks = epochs if len(epochs) <= 30 else epochs[4::5]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    names = {"loss": "cross entropy", "accuracy": "accuracy"}
    for axes, measure in zip(figure.subplots(1, 2), names, strict=True):
        for split, label in (("train", training), ("valid", validation)):
            axes.plot(epochs, [row[f"{split}_{measure}"] for row in one.history], "o-", label=label)
        axes.set(xlabel="epoch", ylabel=names[measure], xticks=ticks)
        axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize="small")  # in the plot on the right, which has room
    figure.suptitle(one.name)
    return figure


def confusion_matrices(one: Results) -> Figure:
    figure = Figure(figsize=(12.8, 6), layout="constrained")
    splits = {"validation": one.metrics["validation"], "test": one.metrics["test"]}
    for axes, (split, measured) in zip(figure.subplots(1, 2), splits.items(), strict=True):
        table = np.array(measured["confusion_matrix"])
        shares = table / table.sum(axis=1, keepdims=True).clip(1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set(title=f"{split} images", xlabel="predicted", ylabel="true")
        axes.set_xticks(range(len(LABELS)), LABELS, rotation=45, ha="right")
        axes.set_yticks(range(len(LABELS)), LABELS)
        for (row, column), count in np.ndenumerate(table):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, count, ha="center", va="center", color=colour, fontsize="small")
    return figure


def batch(split: Split, config: Config, recipe: Recipe, path: Path) -> None:
    """Draw the first images of `split` in two rows, augmented as after 30 % and 80 % of training.

    Each row uses the random numbers of one of the steps 0 to 9: the first row those of the step
    that mixes its labels most, the second row those of the step that mixes its labels least. If no
    step mixes labels, both rows use step 0. Smaller crops are drawn smaller.
    """
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    grid = figure.subplots(2, BATCH_IMAGES // 2, sharex=True, sharey=True)
    for row, (progress, choose) in enumerate(((0.3, min), (0.8, max))):
        axes, part = grid[row], slice(row * len(grid[row]), (row + 1) * len(grid[row]))
        steps = [augmented(split, config, recipe, part, step, progress) for step in range(10)]
        images, targets = choose(steps, key=lambda step: step[1].amax(1).mean())
        for place, image, target in zip(axes, images, targets, strict=True):
            place.imshow(image)
            names = [name for name, share in zip(config.labels, target, strict=True) if share > 0]
            place.set_title(" + ".join(names), fontsize="small" if len(names) == 1 else "xx-small")
            place.axis("off")
    if recipe.uses_progress:
        figure.suptitle("after 30 % (above) and 80 % (below) of training", fontsize="small")
    save(figure, path)


def augmented(
    split: Split, config: Config, recipe: Recipe, part: slice, step: int, progress: float
) -> tuple[np.ndarray, Tensor]:
    """Augment the slice `part` of `split`'s first batch. Return RGB in [0, 1] and targets."""
    taken, indices = split.take(part), torch.arange(BATCH_IMAGES)[part]
    draws = Draws(0, step, BATCH_IMAGES, indices, progress=progress, part=part)
    inputs, targets = augment(
        torch.from_numpy(taken.images),
        nn.functional.one_hot(torch.from_numpy(taken.labels).long(), config.num_classes).float(),
        recipe.augmentations,
        draws,
        Normalization(config.mean, config.std, indices.device),
    )
    pixels = inputs.permute(0, 2, 3, 1) * torch.tensor(config.std) + torch.tensor(config.mean)
    return pixels.clamp(0, 1).numpy(), targets


def activation_maps(
    model: MobileNetV3Cifar, test: Split, predicted: np.ndarray, path: Path
) -> None:
    """Draw one test image per class with its Grad-CAM map.

    For a class with an even index, draw its first image that `predicted` classifies correctly. For
    a class with an odd index, draw its first misclassified image. If the class has none, draw
    the first image of the class.
    """
    labels = model.config.labels
    figure = Figure(figsize=(1.5 * len(labels), 3.6), layout="constrained")
    columns = figure.subplots(2, len(labels)).T
    for index, (original, mapped) in enumerate(columns):
        of_class = test.labels == index
        wanted = of_class & ((predicted == index) == (index % 2 == 0))
        chosen = np.flatnonzero(wanted if wanted.any() else of_class)[0]
        image = Image.fromarray(test.images[chosen]).resize((128, 128), Image.Resampling.BICUBIC)
        explanation = explain(model, test.images[chosen])
        heatmap = Image.fromarray(explanation.heatmap).resize(image.size)
        original.imshow(image)
        original.set_title(labels[index], fontsize="small")
        mapped.imshow(overlay(image, np.asarray(heatmap)))
        answer = "blank map" if explanation.blank else f"{explanation.probability:.2f}"
        mapped.set_title(f"→ {explanation.label}\n{answer}", fontsize="small")
        original.axis("off")
        mapped.axis("off")
    save(figure, path)
