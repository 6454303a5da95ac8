"""The 8-bit file: small, nearly the same answers, and integers all the way between convolutions."""

import json
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.export import export_onnx, open_session, run_onnx
from mobilenetv3_cifar.preprocessing import to_input


@pytest.fixture(scope="module")
def files(sample, tmp_path_factory):
    """An untrained network's float and 8-bit files."""
    torch.manual_seed(0)
    network = MobileNetV3Cifar(blocks="cifar32")
    config = network.config
    inputs = to_input([Image.fromarray(image) for image in sample[0][:64]], config.mean, config.std)
    for block in network.features.blocks:  # initialised to 0, which would leave them out
        torch.nn.init.uniform_(block.project_norm.weight, 0.5, 1.5)
    for _ in range(20):
        network(inputs)
    folder = tmp_path_factory.mktemp("int8")
    paths = folder / "model.onnx", folder / "model-int8.onnx"
    export_onnx(network, paths[0])
    export_onnx(network, paths[1], int8_images=sample[0][:64])
    return paths


def test_a_third_of_the_size_and_nearly_the_same_answers(files, sample):
    exact, coarse = (path.read_bytes() for path in files)
    assert len(coarse) < len(exact) / 3
    found = [run_onnx(open_session(content), sample[0][200:300]) for content in (exact, coarse)]
    for name in ("logits", "features", "activation_map"):
        pair = [outputs[name].ravel() for outputs in found]
        assert np.corrcoef(*pair)[0, 1] > 0.98, name


def test_the_metadata_is_that_of_the_float_file_and_json(files):
    exact, coarse = ({p.key: p.value for p in onnx.load(path).metadata_props} for path in files)
    assert exact == coarse
    assert all(json.loads(value) is not ... for value in coarse.values())


def test_nothing_between_two_integer_convolutions_is_float(files, tmp_path):
    """What made the former file slow: activations that went to float and back."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(files[1], options, providers=["CPUExecutionProvider"])
    operations = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    integer = [i for i, name in enumerate(operations) if name == "QLinearConv"]
    between = Counter(operations[integer[0] : integer[-1]])
    assert between.keys() <= {
        "QLinearConv",
        "QLinearAdd",
        "QLinearMul",
        "QLinearGlobalAveragePool",
        "Transpose",
    }
    assert between["QLinearConv"] > 40
