"""Measure how fast our ONNX files and other libraries predict and compute activation maps."""

import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
import torchvision
from PIL import Image
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torchvision import transforms

from benchmarks.measure import Report, version
from mobilenetv3_cifar import MobileNetV3Cifar, OnnxClassifier, explain
from mobilenetv3_cifar.export import export_onnx
from mobilenetv3_cifar.preprocessing import LABELS
from mobilenetv3_cifar.runtime import run_onnx
from training.dataset.cifar10 import load_sample
from training.quantize import CALIBRATION_IMAGES

# {batch size: (onnxruntime's threads, calls per round, goal for the speed-up over torchvision, goal
# for the speed-up of the 8-bit file over the float32 file)}. 0 threads means one thread per core.
BATCHES: dict[int, tuple[int, int, float, float | None]] = {1: (1, 20, 4, 1.3), 64: (0, 1, 3, None)}
Predict = Callable[[list[Image.Image]], Any]


def measure_inference(report: Report, name: str, model: MobileNetV3Cifar, rounds: int) -> None:
    """Compare the speeds of our float32 and 8-bit ONNX files and of other libraries."""
    images = [Image.fromarray(image) for image in load_sample().images[: max(BATCHES)]]
    others = other_libraries(model)
    for count, (threads, repeats, goal, integer_goal) in BATCHES.items():
        runtime = exported(model, threads)
        integers = exported(model, threads, load_sample().images[:CALIBRATION_IMAGES])
        part, what = images[:count], f"{name}: prediction, batch {count}"
        for other, predict in others.items():
            sides = [partial(runtime.predict, part), partial(predict, part)]
            wanted = goal if other.startswith("torchvision") else None
            report.compare(what, other, sides, rounds, repeats, wanted)
        pixels, what = load_sample().images[:count], f"{name}: 8-bit file, batch {count}"
        sides = [partial(run_onnx, each.session, pixels) for each in (integers, runtime)]
        report.compare(what, "our float32 file", sides, rounds, 3 * repeats, integer_goal)
    what = f"{name}: prediction + Grad-CAM"
    ours = partial(explain, exported(model), images[0])
    sides = [ours, partial(explain, model, images[0])]
    report.compare(what, "our network in PyTorch", sides, rounds, 5)
    sides = [ours, partial(ordinary_grad_cam, model, images[0])]
    report.compare(what, "grad-cam on torchvision's network", sides, rounds, 5, 8)


def exported(model: MobileNetV3Cifar, threads: int = 1, int8_images: Any = None) -> OnnxClassifier:
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "model.onnx")
        export_onnx(model, path, int8_images=int8_images)
        return OnnxClassifier(path, threads)


def ordinary_grad_cam(model: MobileNetV3Cifar, image: Image.Image) -> None:
    network, inputs = torchvision_network(model.config.size), usual_transform(model)(image)[None]
    with torch.no_grad():
        probabilities = network(inputs).softmax(dim=1)
    targets = [ClassifierOutputTarget(int(probabilities.argmax()))]
    with GradCAM(model=network, target_layers=[network.features[-1]]) as cam:
        cam(input_tensor=inputs, targets=targets)


def other_libraries(model: MobileNetV3Cifar) -> dict[str, Predict]:
    """Return {name: prediction function} for `model` in PyTorch and for other libraries' networks.

    The other libraries' networks are untrained, and their inputs have the same size as `model`'s.
    """
    sides: dict[str, Predict] = {"our network in PyTorch": model.predict}
    networks = {"torchvision, eager": torchvision_network(model.config.size)}
    if version("timm"):
        import timm

        name, classes = f"mobilenetv3_{model.config.size}_100", model.config.num_classes
        networks["timm, eager"] = timm.create_model(name, num_classes=classes).eval()
    transform = usual_transform(model)
    for library, network in networks.items():

        def predict(images: list[Image.Image], network: Any = network) -> torch.Tensor:
            with torch.inference_mode():
                inputs = torch.stack([transform(image) for image in images])
                return network(inputs).softmax(dim=1)

        sides[library] = predict
    if version("transformers"):
        sides["transformers' pipeline, MobileNetV2"] = transformers_pipeline(model)
    return sides


@cache  # building a network takes longer than running it
def torchvision_network(size: str) -> Any:
    return getattr(torchvision.models, f"mobilenet_v3_{size}")(num_classes=len(LABELS)).eval()


def usual_transform(model: MobileNetV3Cifar) -> Callable[[Image.Image], torch.Tensor]:
    config = model.config
    resize = transforms.Resize((config.image_size, config.image_size))
    normalize = transforms.Normalize(config.mean, config.std)
    return transforms.Compose([resize, transforms.ToTensor(), normalize])


def transformers_pipeline(model: MobileNetV3Cifar) -> Predict:
    """Build a pipeline with MobileNetV2, the network in `transformers` most similar to ours."""
    import transformers

    size = model.config.image_size
    config = transformers.MobileNetV2Config(image_size=size, num_labels=model.config.num_classes)
    pipeline = transformers.pipeline(
        "image-classification",
        model=transformers.MobileNetV2ForImageClassification(config).eval(),
        image_processor=transformers.MobileNetV2ImageProcessor(
            size={"height": size, "width": size}, do_center_crop=False
        ),
    )
    return lambda images: pipeline(images, batch_size=len(images))
