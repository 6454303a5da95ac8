"""Compute predictions and activation maps with ONNX files and onnxruntime, without torch.

>>> from mobilenetv3_cifar import OnnxClassifier, explain
>>> model = OnnxClassifier.from_pretrained("small-cifar32")
>>> model.predict("cat.png"), explain(model, "cat.png")
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime
from PIL import Image

from mobilenetv3_cifar.classifier import Classifier, Evidence, Outputs
from mobilenetv3_cifar.config import read_config, select_settings
from mobilenetv3_cifar.errors import ModelFolderError
from mobilenetv3_cifar.files import read_file
from mobilenetv3_cifar.onnx_metadata import FORMAT, PREDICTED
from mobilenetv3_cifar.preprocessing import NATIVE_SIZE
from mobilenetv3_cifar.variants import ONNX_FILE, get_variant, shipped_folder

MAX_BYTES = 2**27


class OnnxClassifier(Classifier):
    """A classifier that predicts and explains as MobileNetV3Cifar does, but without torch.

    With a float32 file, probabilities and heatmaps differ by at most 1e-4 from the results of
    MobileNetV3Cifar. `explain` supports every method, but only the layer "features".
    """

    def __init__(self, path: str | os.PathLike[str], threads: int = 1) -> None:
        """Load an ONNX file that `export_onnx` wrote.

        Args:
            threads: the number of threads for onnxruntime; 0 means one per core. On a busy
                machine, several threads are slower than one.

        Raises:
            ModelFolderError: the file is missing or damaged, or `export_onnx` did not write it.
        """
        try:
            self.session = open_session(read_file(Path(path), MAX_BYTES), threads)
            stored = self.session.get_modelmeta().custom_metadata_map
            self.metadata = {name: json.loads(value) for name, value in stored.items()}
            if self.metadata.get("format") != FORMAT:
                raise ValueError(f"its format is {self.metadata.get('format')}, not {FORMAT}")
            self.config = select_settings(self.metadata)
        except OSError as error:
            raise ModelFolderError(f"{path} cannot be read: {error.strerror}") from error
        except Exception as error:  # onnxruntime's errors have no common base class
            raise ModelFolderError(f"{path} is refused: {str(error)[:200]}") from error

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], threads: int = 1) -> Self:
        """Load an ONNX file, or the `model.onnx` of a shipped variant or of a folder.

        Raises:
            VariantError: `name` is not a variant, folder or file; the message lists the variants.
            ModelFolderError: the file is missing or damaged, or does not match the folder's weights
                and settings.
        """
        path = Path(name)
        if os.path.isfile(path):  # not Path.is_file, which raises for a name that is too long
            return cls(path, threads)
        folder = shipped_folder(os.fspath(name)) or path
        if not os.path.isdir(folder):
            get_variant(os.fspath(name))  # raises an error that lists the variants
        elif not (folder / ONNX_FILE).exists():
            advice = "use MobileNetV3Cifar, or export the network"
            raise ModelFolderError(f"{folder} has no {ONNX_FILE}: {advice}")
        model = cls(folder / ONNX_FILE, threads)
        if (model.config, model.metadata.get("weights_sha256")) != read_config(folder):
            raise ModelFolderError(
                f"{folder / ONNX_FILE} was exported from other weights or settings: export it again"
            )
        return model

    @property
    def square_size(self) -> int:
        return NATIVE_SIZE  # the exported network itself enlarges the images

    def run(self, squares: list[Image.Image]) -> Outputs:
        images = np.stack([np.asarray(square) for square in squares])
        return Outputs(**run_onnx(self.session, images, names=Outputs._fields))

    def evidence(self, squares: list[Image.Image], target: int | None, layer: str) -> Evidence:
        several = self.run_views([squares]) if len(squares) > 1 else None
        if several and target is None:  # the views may differ in their predicted class
            target = int(several.logits.argmax())
        whole, index = np.asarray(squares[0])[None], PREDICTED if target is None else target
        names = [*Outputs._fields, "feature_map", "gradient"]
        outputs = run_onnx(self.session, whole, index, names)
        logits, features, (activations,), (gradient,) = outputs.values()
        if target is None:
            target = int(logits.argmax())
        height, width = activations.shape[1:]
        at_each_position = gradient[:, None, None] / np.float32(height * width)  # (K, 1, 1)
        gradients = np.broadcast_to(at_each_position, activations.shape)
        return Evidence(several or Outputs(logits, features), target, activations, gradients)


def open_session(content: bytes, threads: int = 0) -> onnxruntime.InferenceSession:
    """Open a CPU session for an ONNX file's bytes. If `threads` is 0, use one thread per core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # no busy-waiting
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run_onnx(
    session: onnxruntime.InferenceSession,
    images: np.ndarray,
    target: int = PREDICTED,
    names: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """Run an exported network on uint8 images (N, 32, 32, 3). Return {output name: array}.

    `target` is the index of the class to explain, or PREDICTED. `names` are the outputs to compute,
    by default all.
    """
    inputs = {"images": images, "target": np.full(len(images), target, np.int32)}
    names = list(names or [output.name for output in session.get_outputs()])
    return dict(zip(names, session.run(names, inputs), strict=True))
