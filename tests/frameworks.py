"""Fine-tune networks with popular training frameworks, then save and load each network.

    python -m tests.frameworks            needs pip install transformers lightning timm

The test suite runs only the fine-tuning with accelerate, because the other frameworks need 190 MB
of packages. The last check follows the recipe in docs/comparison.md, which loads a network with
`blocks="paper"` into a transformers pipeline.
"""

import json
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mobilenetv3_cifar import MobileNetV3Cifar
from training.dataset.cifar10 import load_sample

STEPS, BATCH = 24, 32
LABELS = ["animal", "vehicle"]
VEHICLES = (0, 1, 8, 9)  # class indices of airplane, automobile, ship and truck


class Images(Dataset):
    """The 600 CIFAR-10 images in the repository, labelled as animals (0) or vehicles (1)."""

    def __init__(self, model: MobileNetV3Cifar) -> None:
        images, labels = load_sample()
        transform = model.transform()
        self.pixels = torch.stack([transform(image) for image in images])
        self.targets = torch.from_numpy(np.isin(labels, VEHICLES).astype(np.int64))

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"pixel_values": self.pixels[index], "labels": self.targets[index]}


def make_model() -> MobileNetV3Cifar:
    """Return a pretrained network with a new last layer and a small input size, for fast steps."""
    return MobileNetV3Cifar.from_pretrained(
        "small-dropout0-epochs10-cosine", labels=LABELS, image_size=64, dropout=0.1
    )


def finetune_with_accelerate(folder: Path) -> MobileNetV3Cifar:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model = make_model()
    loader = DataLoader(Images(model), BATCH, shuffle=True, drop_last=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    prepared, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    prepared.train()
    step = 0
    while step < STEPS:
        for batch in loader:
            loss = nn.functional.cross_entropy(prepared(batch["pixel_values"]), batch["labels"])
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
    accelerator.unwrap_model(prepared).save_pretrained(folder)
    return model


def finetune_with_transformers(folder: Path) -> MobileNetV3Cifar:
    from transformers import Trainer, TrainingArguments

    class ImageTrainer(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, **others):
            logits = model(inputs["pixel_values"])
            loss = nn.functional.cross_entropy(logits, inputs["labels"])
            return (loss, {"logits": logits}) if return_outputs else loss

    model = make_model()
    arguments = TrainingArguments(
        str(folder / "trainer"),
        max_steps=STEPS,
        per_device_train_batch_size=BATCH,
        learning_rate=1e-3,
        save_steps=STEPS // 2,  # saves a checkpoint, from which training resumes below
        eval_strategy="steps",
        eval_steps=STEPS // 2,
        remove_unused_columns=False,
        label_names=["labels"],  # otherwise the Trainer looks for labels in forward's signature
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
    )
    data = Images(model)
    trainer = ImageTrainer(model, arguments, train_dataset=data, eval_dataset=data)
    trainer.train()
    trainer.train(resume_from_checkpoint=str(folder / "trainer" / f"checkpoint-{STEPS // 2}"))
    model.save_pretrained(folder)
    return model


def finetune_with_lightning(folder: Path) -> MobileNetV3Cifar:
    import lightning

    class Classifier(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = make_model()

        def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
            return nn.functional.cross_entropy(self.network(batch["pixel_values"]), batch["labels"])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=1e-3)

    classifier = Classifier()
    classifier.network.train()  # Lightning would keep it in evaluation mode
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_steps=STEPS,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(classifier, DataLoader(Images(classifier.network), BATCH, shuffle=True))
    classifier.network.save_pretrained(folder)
    return classifier.network


def pipeline_difference(folder: Path) -> float:
    """Convert a network to a transformers pipeline, and classify one image with both.

    Return the largest difference between their probabilities.
    """
    import timm
    from transformers import pipeline

    model = MobileNetV3Cifar(size="small", blocks="paper").eval()
    other = timm.create_model("mobilenetv3_small_100", num_classes=10, bn_eps=1e-3)
    values = iter(model.state_dict().values())
    other.load_state_dict({k: next(values).reshape(v.shape) for k, v in other.state_dict().items()})
    timm.models.save_for_hf(other, folder, safe_serialization=True)
    config = json.loads((folder / "config.json").read_text())
    config["label_names"] = list(model.config.labels)
    config["model_args"] = {"bn_eps": 1e-3}  # transformers passes num_classes itself
    config["pretrained_cfg"] |= {
        key: model.pretrained_cfg[key]
        for key in config["pretrained_cfg"]
        if key in model.pretrained_cfg
    }
    (folder / "config.json").write_text(json.dumps(config))
    images, _ = load_sample()
    image = Image.fromarray(images[0])
    theirs = pipeline("image-classification", model=str(folder))(image, top_k=10)
    ours = model(model.preprocess(image)).softmax(1)[0].tolist()
    expected = dict(zip(model.config.labels, ours, strict=True))
    return max(abs(answer["score"] - expected[answer["label"]]) for answer in theirs)


def check(finetune: Callable[[Path], MobileNetV3Cifar]) -> float:
    """Fine-tune a network and check its saved copy. Return the accuracy on the training images."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as temporary:
        trained = finetune(Path(temporary)).cpu().eval()
        loaded = MobileNetV3Cifar.from_pretrained(temporary)
    data = Images(loaded)
    with torch.inference_mode():
        logits = loaded(data.pixels)
        assert torch.equal(logits, trained(data.pixels))
    assert loaded.config.labels == tuple(LABELS)
    return (logits.argmax(1) == data.targets).double().mean().item()


def main() -> None:
    for package, finetune in (
        ("accelerate", finetune_with_accelerate),
        ("transformers", finetune_with_transformers),
        ("lightning", finetune_with_lightning),
    ):
        accuracy = check(finetune)
        print(f"{package} {version(package)}: {STEPS} steps, training accuracy {accuracy:.1%}")
    with tempfile.TemporaryDirectory() as temporary:
        difference = pipeline_difference(Path(temporary))
    print(f"timm {version('timm')}, pipeline: probabilities differ by at most {difference:.1g}")


if __name__ == "__main__":
    main()
