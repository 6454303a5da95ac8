"""Predictions and maps: the ONNX file against torchvision, timm, transformers and grad-cam."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from torchvision import transforms

from benchmarks.measure import Comparison, Report, interleave, version
from mobilenetv3_cifar import MobileNetV3Cifar, OnnxClassifier, explain
from mobilenetv3_cifar.export import export_onnx
from mobilenetv3_cifar.runtime import run_onnx
from training.dataset.sample import load_sample

LARGE_BATCH = 64
CALIBRATION_IMAGES = 256
Predict = Callable[[list[Image.Image]], Any]


def measure_inference(report: Report, model: MobileNetV3Cifar, rounds: int) -> None:
    """Ours is `OnnxClassifier.predict` of 32x32 images; the others get the same images."""
    images = [Image.fromarray(image) for image in load_sample().images[:LARGE_BATCH]]
    with tempfile.TemporaryDirectory() as temporary:
        exact, coarse = Path(temporary, "model.onnx"), Path(temporary, "int8.onnx")
        export_onnx(model, exact)
        export_onnx(model, coarse, int8_images=load_sample().images[:CALIBRATION_IMAGES])
        runtime, integers = OnnxClassifier(exact), OnnxClassifier(coarse)
    for what, count, repeats, goal in (
        ("prediction, batch 1", 1, 20, 4),
        (f"prediction, batch {LARGE_BATCH}", LARGE_BATCH, 1, 3),
    ):
        part = images[:count]
        for name, predict in others(model).items():
            sides = [partial(runtime.predict, part), partial(predict, part)]
            ours, theirs = interleave(sides, rounds, repeats)
            torchvision_goal = goal if name.startswith("torchvision") else None
            report.add(Comparison(what, name, ours, theirs, goal=torchvision_goal))
        sides = [partial(each.predict, part) for each in (runtime, model)]
        ours, theirs = interleave(sides, rounds, repeats)
        report.add(Comparison(what, "our own torch path", ours, theirs))
    measure_int8(report, runtime, integers, rounds)
    measure_explain(report, model, runtime, images[0], rounds)


def measure_int8(
    report: Report, exact: OnnxClassifier, coarse: OnnxClassifier, rounds: int
) -> None:
    images = load_sample().images
    for count, repeats, goal in ((1, 50, 1.3), (LARGE_BATCH, 2, None)):
        sides = [partial(run_onnx, each.session, images[:count]) for each in (coarse, exact)]
        ours, theirs = interleave(sides, rounds, repeats)
        what = f"8-bit integers, batch {count}"
        report.add(Comparison(what, "our float file", ours, theirs, goal=goal))


def measure_explain(
    report: Report,
    model: MobileNetV3Cifar,
    runtime: OnnxClassifier,
    image: Image.Image,
    rounds: int,
) -> None:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    network, transform = torchvision_network(model), usual_transform(model)

    def ordinary() -> None:
        inputs = transform(image)[None]
        with torch.no_grad():
            probabilities = network(inputs).softmax(dim=1)
        targets = [ClassifierOutputTarget(int(probabilities.argmax()))]
        with GradCAM(model=network, target_layers=[network.features[-1]]) as cam:
            cam(input_tensor=inputs, targets=targets)

    ours, theirs = interleave([lambda: explain(runtime, image), ordinary], rounds, 5)
    against = "grad-cam on torchvision's network"
    report.add(Comparison("prediction + Grad-CAM", against, ours, theirs, goal=8))
    ours, theirs = interleave(
        [lambda: explain(runtime, image), lambda: explain(model, image)], rounds, 5
    )
    report.add(Comparison("prediction + Grad-CAM", "our own torch path", ours, theirs))


def others(model: MobileNetV3Cifar) -> dict[str, Predict]:
    """Untrained networks of other libraries, used the ordinary way on the same input size."""
    size = model.config.size
    transform, classes = usual_transform(model), model.config.num_classes

    def usual(network: torch.nn.Module) -> Predict:
        def predict(images: list[Image.Image]) -> torch.Tensor:
            with torch.inference_mode():
                inputs = torch.stack([transform(image) for image in images])
                return network(inputs).softmax(dim=1)

        return predict

    sides = {"torchvision, eager": usual(torchvision_network(model))}
    if version("timm"):
        import timm

        network = timm.create_model(f"mobilenetv3_{size}_100", num_classes=classes).eval()
        sides["timm, eager"] = usual(network)
    if version("transformers"):
        sides["transformers' pipeline, MobileNetV2"] = transformers_pipeline(model)
    if torch.cuda.is_available():
        network = torchvision_network(model).cuda()
        sides["torchvision, CUDA"] = lambda images: network(
            torch.stack([transform(image) for image in images]).cuda()
        ).cpu()
    return sides


def torchvision_network(model: MobileNetV3Cifar) -> Any:
    build = getattr(torchvision.models, f"mobilenet_v3_{model.config.size}")
    return build(num_classes=model.config.num_classes).eval()


def usual_transform(model: MobileNetV3Cifar) -> Callable[[Image.Image], torch.Tensor]:
    config = model.config
    steps = [
        transforms.Resize((config.image_size, config.image_size)),
        transforms.ToTensor(),
        transforms.Normalize(config.mean, config.std),
    ]
    return transforms.Compose(steps)


def transformers_pipeline(model: MobileNetV3Cifar) -> Predict:
    """It has no MobileNetV3; MobileNetV2 is the nearest."""
    import transformers

    size = model.config.image_size
    config = transformers.MobileNetV2Config(image_size=size, num_labels=model.config.num_classes)
    network = transformers.MobileNetV2ForImageClassification(config).eval()
    processor = transformers.MobileNetV2ImageProcessor(
        size={"height": size, "width": size}, do_center_crop=False
    )
    pipeline = transformers.pipeline(
        "image-classification", model=network, image_processor=processor
    )
    return lambda images: pipeline(images, batch_size=len(images))


def native_against_224(report: Report, rounds: int, native: str, enlarged: str) -> None:
    """Our 32x32 default against the report's best network, both by the ONNX file."""
    with tempfile.TemporaryDirectory() as temporary:
        runtimes = []
        for name in (native, enlarged):
            path = Path(temporary, f"{name}.onnx")
            export_onnx(MobileNetV3Cifar.from_pretrained(name), path)
            runtimes.append(OnnxClassifier(path))
    image = np.asarray(load_sample().images[0])
    ours, theirs = interleave([partial(r.predict, image) for r in runtimes], rounds, 10)
    report.add(Comparison(f"prediction of {native}, batch 1", enlarged, ours, theirs, goal=5))
