"""Time imports, predictions and training in new processes, and compare installed sizes."""

import importlib.metadata
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.measure import Report, version
from mobilenetv3_cifar.export import export_onnx
from mobilenetv3_cifar.model import MobileNetV3Cifar
from training.dataset.cifar10 import load_sample
from training.loop.provenance import ROOT

LIGHT = ("numpy", "pillow", "onnxruntime")  # packages that OnnxClassifier needs
THEIR_FIRST_ANSWER = """
import torch
from PIL import Image
{create}
with torch.inference_mode():
    network(transform(Image.open({image!r}).convert("RGB"))[None]).softmax(1)
"""
CREATE = {
    "timm": """
import timm
from timm.data import create_transform, resolve_data_config
network = timm.create_model("mobilenetv3_{size}_100", num_classes=10).eval()
transform = create_transform(**resolve_data_config({{}}, model=network))
""",
    "torchvision": """
import torchvision
from torchvision import transforms as t
network = torchvision.models.mobilenet_v3_{size}(num_classes=10).eval()
transform = t.Compose([t.Resize((224, 224)), t.ToTensor(), t.Normalize([.5] * 3, [.5] * 3)])
""",
}
OUR_FIRST_ANSWER = """
from mobilenetv3_cifar import OnnxClassifier
OnnxClassifier({file!r}).predict({image!r})
"""
THEIR_FOLDER = """
import torch, torchvision
from torch.utils.data import DataLoader
from torchvision import transforms as t
steps = [t.Resize(({input}, {input})), t.ToTensor(), t.Normalize([.5] * 3, [.5] * 3)]
files = torchvision.datasets.ImageFolder({folder!r}, t.Compose(steps))
network = torchvision.models.mobilenet_v3_{size}(num_classes=10).eval()
with torch.inference_mode():
    for batch, _ in DataLoader(files, 64, num_workers=2):
        print(network(batch).softmax(1).topk(3))
"""
OUR_TRAINING = """
from benchmarks.training_speed import make_learner, seconds_per_step
learner = make_learner({size!r}, {pixels}, {batch}, "cpu")
seconds_per_step(learner, {batch}, 3)
print(seconds_per_step(learner, {batch}, {steps}))
"""
THEIR_TRAINING = """
import time, torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as t
from mobilenetv3_cifar import MobileNetV3Cifar
from training.dataset.cifar10 import load_sample
class Images(Dataset):
    data = load_sample()
    transform = t.Compose([t.Resize(({pixels}, {pixels})), t.RandomHorizontalFlip(),
        t.RandomRotation(10), t.ToTensor(), t.Normalize([.5] * 3, [.5] * 3)])
    def __len__(self):
        return {batch} * ({steps} + 3)
    def __getitem__(self, index):
        index %= len(self.data.images)
        image = self.transform(Image.fromarray(self.data.images[index]))
        return image, int(self.data.labels[index])
model = MobileNetV3Cifar(size={size!r}, blocks={blocks!r}).train()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for step, (images, labels) in enumerate(DataLoader(Images(), {batch}, num_workers=2)):
    if step == 3:
        started = time.perf_counter()
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(images), labels).backward()
    optimizer.step()
print((time.perf_counter() - started) / {steps})
"""


def run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def run_python(script: str) -> None:
    run([sys.executable, "-c", script])


def measure_start(report: Report, model: MobileNetV3Cifar, rounds: int) -> None:
    """Time Python processes that make one prediction, and processes that only import a package."""
    with tempfile.TemporaryDirectory() as temporary:
        file, image = Path(temporary, "model.onnx"), Path(temporary, "cat.png")
        export_onnx(model, file)
        Image.fromarray(load_sample().images[0]).save(image)
        answer = OUR_FIRST_ANSWER.format(file=str(file), image=str(image))
        what = "Python start to first prediction"
        for name, create in CREATE.items():
            if not version(name):
                report.note(f"- {what}: {name} is not installed here.")
                continue
            create = create.format(size=model.config.size)
            other = THEIR_FIRST_ANSWER.format(create=create, image=str(image))
            sides = [partial(run_python, answer), partial(run_python, other)]
            report.compare(what, name, sides, rounds, goal=4 if name == "timm" else None)
    sides = [partial(run_python, f"import {name}") for name in ("mobilenetv3_cifar", "torchvision")]
    report.compare("Python start and import", "torchvision", sides, rounds)


def measure_training(report: Report, rounds: int, steps: int) -> None:
    """Time training steps of 64 images, with our `Learner` and with a loop over a DataLoader."""
    for size in ("small", "large"):
        for pixels, blocks in ((224, "report"), (32, "cifar32")):
            names = {"size": size, "pixels": pixels, "blocks": blocks, "batch": 64, "steps": steps}
            scripts = [script.format(**names) for script in (OUR_TRAINING, THEIR_TRAINING)]
            seconds = [
                [float(subprocess.check_output([sys.executable, "-c", each])) for each in scripts]
                for _ in range(rounds)
            ]
            ours, theirs = zip(*seconds, strict=True)
            what = f"training step of 64 images of {pixels}x{pixels}, {size}"
            report.add(what, "torchvision transforms, DataLoader and Adam", ours, theirs)


def measure_sizes(report: Report) -> None:
    """Compare the installed sizes of LIGHT, torchvision and timm, each with its dependencies."""
    light = installed_bytes(LIGHT)
    ours, what = sum(light.values()) / 1e6, f"installed size: {', '.join(LIGHT)}"
    for name in filter(version, ("torchvision", "timm")):
        theirs = sum(installed_bytes((name,)).values()) / 1e6
        report.add(what, f"{name} with torch", [ours], [theirs], unit="MB")
    parts = sorted(light.items(), key=lambda item: -item[1])
    sizes = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in parts if size > 5e5)
    report.note(f"- Our installed size, by package: {sizes}.")
    report.note(
        f"- The installation in docs/onnx.md takes {smallest_installation() / 1e6:.0f} MB without "
        "this package. The goal is at most 150 MB."
    )


def smallest_installation() -> int:
    """Run the `pip install --no-compile` commands in docs/onnx.md. Return the installed bytes."""
    document = (ROOT / "docs" / "onnx.md").read_text(encoding="utf-8")
    commands = re.findall(r"pip (install --no-compile .+)", document)
    with tempfile.TemporaryDirectory() as temporary:
        for arguments in commands:
            pip = [sys.executable, "-m", "pip", *shlex.split(arguments)]
            run([*pip, "--quiet", "--no-warn-conflicts", "--target", temporary])
        return sum(path.stat().st_size for path in Path(temporary).rglob("*") if path.is_file())


def installed_bytes(names: tuple[str, ...]) -> dict[str, int]:
    """Return {package: installed size} of the packages `names` and all their dependencies."""
    wanted, sizes = list(names), dict[str, int]()
    while wanted:
        name = re.sub(r"[-_.]+", "-", wanted.pop()).lower()
        if name in sizes or not version(name):
            continue
        package = importlib.metadata.distribution(name)
        paths = (Path(str(file.locate())) for file in package.files or ())
        sizes[name] = sum(path.stat().st_size for path in paths if path.is_file())
        needed = [each for each in package.requires or () if "extra ==" not in each]
        wanted += [re.split(r"[^\w.-]", each)[0] for each in needed]
    return sizes


def measure_folder(report: Report, model: MobileNetV3Cifar, images: int, rounds: int) -> None:
    """Compare the speed of our command line and torchvision on PNG files of 96x96 pixels."""
    with tempfile.TemporaryDirectory() as temporary:
        network = Path(temporary, "network")
        model.save_pretrained(network)
        export_onnx(model, network / "model.onnx")
        memory = []
        for count in (images // 10, images):
            folder = write_images(Path(temporary, str(count), "images"), count)
            command = [sys.executable, "-m", "mobilenetv3_cifar", "predict", str(folder)]
            command += ["--variant", str(network), "--format", "jsonl"]
            memory.append(peak_memory(command))
        script = THEIR_FOLDER.format(
            folder=str(folder.parent), size=model.config.size, input=model.config.image_size
        )
        sides = [partial(run, command), partial(run_python, script)]
        what, against = f"folder of {images:,} images of 96x96", "torchvision and DataLoader"
        report.compare(what, f"{against}, 2 workers", sides, rounds, goal=2)
    few, many = (f"{value / 1e6:.0f} MB" for value in memory)
    report.note(
        f"- Peak memory of our command: {few} for {images // 10:,} images, {many} for {images:,}."
    )


def write_images(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    images = load_sample().images
    for index in range(count):
        tile = np.tile(images[index % len(images)], (3, 3, 1))
        Image.fromarray(tile).save(folder / f"{index:06}.png", compress_level=1)
    return folder


def peak_memory(command: list[str]) -> int:
    """Run a command, and return its peak memory in bytes."""
    # A new small process starts the command, because the peak memory of a forked process includes
    # the memory of its parent.
    script = (
        "import resource, subprocess, sys; "
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    starter = [sys.executable, "-c", script, *command]
    done = subprocess.run(starter, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024)  # macOS reports bytes
