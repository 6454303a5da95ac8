"""Fine-tune a trained network on your own images.

    python examples/finetune.py IMAGES --output my-model

First install the package, for example with `pip install .` in a checkout.

IMAGES contains one subfolder of images per class, with files such as IMAGES/cat/1.png. Every fifth
image is held out from training. The script prints the accuracy on the held-out images and writes a
model folder, which `MobileNetV3Cifar.from_pretrained("my-model")` loads.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from mobilenetv3_cifar import ImageError, MobileNetV3Cifar
from mobilenetv3_cifar.command_line import one_line_errors
from mobilenetv3_cifar.image_files import class_folders, find_images
from mobilenetv3_cifar.variants import get_variant

BATCH = 32  # images per step
PEAK_LR = 1e-3  # AdamW's highest learning rate; small, because only the last layer starts untrained


@one_line_errors()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="a folder with one subfolder per class")
    parser.add_argument("--output", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--variant", help="the network to fine-tune; default: the best variant")
    parser.add_argument("--epochs", type=int, default=2)
    arguments = parser.parse_args()

    if arguments.epochs < 1:
        parser.error(f"--epochs must be at least 1, not {arguments.epochs}")
    images = arguments.images
    labels = [folder.name for folder in class_folders(images)] if images.is_dir() else []
    if not labels:
        parser.error(f"{images} is not a folder with one subfolder per class")
    if arguments.output.exists() and not arguments.output.is_dir():
        parser.error(f"{arguments.output} cannot be written: it is not a folder")
    torch.manual_seed(0)  # makes the new last layer and the order of images reproducible
    start = arguments.variant or get_variant().name
    model = MobileNetV3Cifar.from_pretrained(start, labels=labels)
    inputs, targets = read_images(model, images, labels)
    if len(targets) < 2:  # image 0 is held out, so a second one is needed for training
        parser.error(f"{images} has fewer than two images that can be read")
    held_out = torch.arange(len(targets)) % 5 == 0

    print(f"{start} for {', '.join(labels)}: {(~held_out).sum()} training images")
    finetune(model, inputs[~held_out], targets[~held_out], arguments.epochs)
    with torch.inference_mode():
        predicted = torch.cat([model(batch).argmax(1) for batch in inputs[held_out].split(BATCH)])
    accuracy = (predicted == targets[held_out]).double().mean()
    print(f"accuracy on the held-out images: {accuracy:.1%}")
    model.save_pretrained(arguments.output)


def read_images(model: MobileNetV3Cifar, folder: Path, labels: list[str]) -> tuple[Tensor, Tensor]:
    """Read the images in `folder`, which has one subfolder per label. Skip unreadable images.

    Return inputs (N, 3, S, S), where S is `model.config.image_size`, and label indices (N,).
    """
    size = model.config.image_size
    inputs, targets = [torch.empty(0, 3, size, size)], []
    for index, label in enumerate(labels):
        for path in find_images(folder / label, on_error=print):
            try:
                inputs.append(model.preprocess(path))
                targets.append(index)
            except ImageError as error:
                print(f"skipped: {error}")
    return torch.cat(inputs), torch.tensor(targets)


def finetune(model: MobileNetV3Cifar, inputs: Tensor, targets: Tensor, epochs: int) -> None:
    """Train all layers. The learning rate rises to PEAK_LR, then falls to nearly zero."""
    steps = epochs * -(-len(inputs) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LR, total_steps=steps)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(inputs)).split(BATCH):
            loss = nn.functional.cross_entropy(model(inputs[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()


if __name__ == "__main__":
    main()
