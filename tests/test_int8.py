"""These tests check the size, the outputs and the integer operations of an 8-bit ONNX file."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.architecture import LAYOUTS
from mobilenetv3_cifar.export import export_onnx
from mobilenetv3_cifar.runtime import open_session, run_onnx
from tests.networks import untrained
from training.dataset.cifar10 import Split
from training.loop.validation import split_logits

# "native" is the network with `cifar32` blocks. Only such networks are shipped in 8 bits.
pytestmark = pytest.mark.parametrize("exported", ["native"], indirect=True)
ROOT = Path(__file__).parent.parent
READER = re.compile(r"```python\n(import json.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def network(exported):
    return MobileNetV3Cifar.from_pretrained(exported)


@pytest.fixture(scope="module")
def files(exported, network, sample, tmp_path_factory):
    """Return the paths of the network's float and 8-bit ONNX files."""
    coarse = tmp_path_factory.mktemp("int8") / "model-int8.onnx"
    export_onnx(network, coarse, int8_images=sample[0][:64])
    return exported / "model.onnx", coarse


def test_half_of_the_size_and_nearly_the_same_answers(files, sample):
    exact, coarse = (path.read_bytes() for path in files)
    assert len(coarse) < 0.55 * len(exact)
    results = [run_onnx(open_session(content), sample[0][200:300]) for content in (exact, coarse)]
    same = np.equal(*(outputs["logits"].argmax(axis=1) for outputs in results))
    assert same.mean() > 0.8  # not 1, because an untrained network is often undecided
    for name, least in (("logits", 0.98), ("features", 0.98), ("activation_map", 0.9)):
        # A map is for the predicted class, so omit images for which the two predictions differ.
        pair = [outputs[name][same].ravel() for outputs in results]
        assert np.corrcoef(*pair)[0, 1] > least, name


@pytest.mark.usefixtures("exported")
def test_a_narrow_network_with_larger_inputs(sample, tmp_path, monkeypatch):
    layout = LAYOUTS["small", "cifar32"]
    rows = [row._replace(expanded=min(row.expanded, 320)) for row in layout.rows]
    monkeypatch.setitem(LAYOUTS, ("small", "cifar32"), layout._replace(rows=rows))
    network = untrained(sample[0][:64], blocks="cifar32", image_size=48)
    export_onnx(network, tmp_path / "int8.onnx", int8_images=sample[0][:64])
    content = (tmp_path / "int8.onnx").read_bytes()
    outputs = run_onnx(open_session(content), sample[0][200:300])
    assert outputs["activation_map"].shape == (100, 48, 48)
    expected = split_logits(network, Split(sample[0][200:300], sample[1][200:300])).numpy()
    assert np.corrcoef(outputs["logits"].ravel(), expected.ravel())[0, 1] > 0.98
    weights = map(onnx.numpy_helper.to_array, onnx.load_from_string(content).graph.initializer)
    integer = [each.shape[0] for each in weights if each.dtype == np.int8 and each.ndim == 4]
    # Two bottlenecks have 320 channels. Each has an expansion, a depthwise convolution and a gate.
    assert integer.count(320) == 6


def test_the_metadata_is_json_and_equals_the_float_files_metadata(files):
    exact, coarse = ({p.key: p.value for p in onnx.load(path).metadata_props} for path in files)
    assert exact == coarse
    assert all(json.loads(value) is not ... for value in coarse.values())


def test_nothing_between_two_integer_convolutions_is_float(files, tmp_path):
    """An earlier 8-bit file was slow because it converted activations to float and back."""
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
    assert between["QLinearConv"] == 10  # there are 11, but the slice excludes the last one
    # The four hardswishes and two SE gates have one multiplication each. Divisions by 6 add none.
    assert between["QLinearMul"] == 6


def test_weights_have_seven_bits(files):
    """With eight bits, sums of products overflow on CPUs without VNNI, so outputs are wrong."""
    graph = onnx.load(files[1]).graph
    weights = [onnx.numpy_helper.to_array(each) for each in graph.initializer]
    highest = [
        abs(each.astype(int)).max() for each in weights if each.dtype == np.int8 and each.ndim == 4
    ]
    assert len(highest) == 11
    assert 60 <= max(highest) <= 64


@pytest.mark.parametrize(("index", "tolerance"), [(0, 1e-5), (1, 0.02)])
@pytest.mark.parametrize("size", [(32, 32), (95, 60)])
def test_the_documented_reader_reads_both_files(
    files, network, sample, tmp_path, monkeypatch, index, tolerance, size
):
    (reader,) = READER.findall((ROOT / "docs" / "onnx.md").read_text(encoding="utf-8"))
    image = Image.fromarray(sample[0][7]).resize(size)
    image.save(tmp_path / "cat.png")
    shutil.copy(files[index], tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(reader, names)
    expected = network.predict(image, top_k=None)
    assert names["probabilities"] == pytest.approx(expected, abs=tolerance)
    assert names["heatmap"].max() == pytest.approx(1, abs=1e-3)
