"""These tests check the package as a whole: unpickling, file access, devices and torch.hub."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from mobilenetv3_cifar import MobileNetV3Cifar, ModelFolderError, VariantError, list_variants

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path
    for folder in ("mobilenetv3_cifar", "training", "demo")
    for path in (ROOT / folder).rglob("*.py")
)
BAD = """
    ../x a/../../b .. . / // ~ ~/x %2e%2e %2e%2e/x é é/x x/é a/b/c a/b/ /etc a//b file:///etc
    https://x/y hf://x/y -x/y .x/y x/.y x/y.git x--y/z x..y/z x-/y x./y x/.. ../.. SMALL/../x
    \\ ..\\x C:\\x \\\\host\\s
"""
LONG = ["x" * 300, "x" * 97 + "/y", "owner/" + "y" * 97]
BAD_NAMES = [*BAD.split(), "", "\0", "x\0y", "x\ny", "small ", "a b/c", *LONG]


def run_script(script: str, *arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


WATCH = """
import os, sys
from pathlib import Path
from mobilenetv3_cifar import MobileNetV3Cifar, VariantError
from mobilenetv3_cifar.variants import variants_folder
import numpy as np
events = []
sys.addaudithook(lambda event, arguments: events.append((event, arguments)))
"""


def test_loading_predicting_and_resuming_unpickle_nothing(tmp_path):
    MobileNetV3Cifar().save_pretrained(tmp_path / "model")
    script = """
from tests.tiny import tiny_run
folder = Path(sys.argv[1])
MobileNetV3Cifar.from_pretrained(folder / "model").predict(np.zeros((32, 32, 3), np.uint8))
tiny_run(folder / "run", images=64).train()
resumed = tiny_run(folder / "run", images=64)
resumed.resume()
assert resumed.state.step == 2  # both steps were loaded from the checkpoint
print("open" in {event for event, _ in events})
print([arguments for event, arguments in events if event == "pickle.find_class"])
"""
    output = run_script(WATCH + script, tmp_path)
    assert output.splitlines()[-2:] == ["True", "[]"]  # files were opened, nothing was unpickled


def test_strange_names_are_refused_and_touch_no_file_outside_the_package(tmp_path):
    assert len(BAD_NAMES) >= 40
    output = run_script(
        WATCH + f"names = {BAD_NAMES!r}\n"
        "os.chdir(sys.argv[1])\n"
        "refused = []\n"
        "events.clear()\n"
        "for name in names:\n"
        "    if os.path.isdir(name):\n"
        "        refused.append(name)\n"  # not tried, because loading an existing folder is allowed
        "        continue\n"
        "    try:\n"
        "        MobileNetV3Cifar.from_pretrained(name)\n"
        "    except VariantError:\n"
        "        refused.append(name)\n"
        "cards = str(variants_folder())\n"
        "opened = {str(arguments[0]) for event, arguments in events\n"
        "          if event in ('open', 'os.listdir', 'os.scandir')}\n"
        "print(refused == names, {path for path in opened if not path.startswith(cards)})",
        tmp_path,
    )
    assert output == "True set()\n"


def test_no_source_calls_a_function_that_unpickles():
    forbidden = {"torch.load", "pickle.load", "pickle.loads", "joblib.load", "marshal.loads"}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            assert ast.unparse(node.func) not in forbidden, path
            assert "allow_pickle=True" not in map(ast.unparse, node.keywords), path


def test_an_incomplete_shipped_folder_stops_no_other_load(tmp_path, monkeypatch):
    broken = tmp_path / "cards" / "broken"
    broken.mkdir(parents=True)
    (broken / "metrics.json").write_text("{}")
    monkeypatch.setattr("mobilenetv3_cifar.variants.variants_folder", lambda: tmp_path / "cards")
    MobileNetV3Cifar(dropout=0.3).save_pretrained(tmp_path / "model")
    assert MobileNetV3Cifar.from_pretrained(tmp_path / "model").config.dropout == 0.3
    with pytest.raises(VariantError, match=r"broken is incomplete: KeyError\('validation'\)"):
        list_variants()


def test_a_device_that_is_not_there_is_refused_by_name(tmp_path):
    MobileNetV3Cifar().save_pretrained(tmp_path / "model")
    for device in ("nonsense", "cuda:99", "hpu"):
        with pytest.raises(ValueError, match=f"device '{device}' cannot be used here"):
            MobileNetV3Cifar.from_pretrained(tmp_path / "model", device=device)


def test_torch_hub_loads_the_network(tmp_path):
    MobileNetV3Cifar(dropout=0.4).save_pretrained(tmp_path / "model")
    model = torch.hub.load(str(ROOT), "mobilenetv3_cifar", tmp_path / "model", source="local")
    assert model.config.dropout == 0.4
    with pytest.raises(VariantError, match="unknown variant 'nonsense'"):
        torch.hub.load(str(ROOT), "mobilenetv3_cifar", "nonsense", source="local")


def test_predict_names_what_is_wrong_with_a_network(sample):
    model = MobileNetV3Cifar(image_size=32)
    model.head[3] = torch.nn.Conv2d(1280, 5, 1)
    with pytest.raises(ValueError, match="gives 5 logits, but its config has 10 classes"):
        model.predict(sample[0][0])
    model.head[3] = torch.nn.Conv2d(1280, 10, 1)
    model.head[3].bias.data[4] = float("nan")
    with pytest.raises(ValueError, match="logits are not finite"):
        model.predict([sample[0][0]])
    model.head[3] = torch.nn.Linear(1280, 10)
    with pytest.raises(
        ModelFolderError, match=r"'head\.3\.weight' is float \(10, 1280\) but must be"
    ):
        model.predict(sample[0][0])


def test_pretrained_cfg_is_timms_dictionary():
    model = MobileNetV3Cifar(blocks="cifar32", dropout=0.1)
    settings = model.pretrained_cfg
    assert settings["input_size"] == (3, 32, 32)
    assert (settings["mean"], settings["std"]) == (model.config.mean, model.config.std)
    assert model.get_submodule(settings["classifier"]) is model.get_classifier()
    assert model.get_submodule(settings["first_conv"]).in_channels == 3
    assert settings["label_names"] == list(model.config.labels)


def test_a_misspelt_variant_is_refused_with_the_right_name():
    name = list_variants()[0].name
    with pytest.raises(VariantError, match=f"did you mean {name}[?] Shipped: "):
        MobileNetV3Cifar.from_pretrained(name[:-1])
    with pytest.raises(VariantError) as refusal:
        MobileNetV3Cifar.from_pretrained("\x1b[31m\n" + "x" * 10**6)
    assert len(str(refusal.value)) < 1000
    assert str(refusal.value).isprintable()


def test_a_package_inside_a_zip_says_so(tmp_path):
    archive = tmp_path / "package.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in (ROOT / "mobilenetv3_cifar").glob("*.py"):
            file.write(path, f"mobilenetv3_cifar/{path.name}")
    script = "import sys; sys.path.insert(0, sys.argv[1]); import mobilenetv3_cifar as m\n"
    script += "try: m.list_variants()\nexcept m.VariantError as error: print(error)"
    done = subprocess.run(
        [sys.executable, "-c", script, str(archive)], capture_output=True, text=True, cwd=tmp_path
    )
    assert "does not work inside a zip file" in done.stdout, done.stderr


def test_torch_hub_accepts_the_usual_keywords(tmp_path):
    fitted = {"temperature": 2.0, "ood_score": "linear", "ood_weights": [1.0] * 576}
    MobileNetV3Cifar(dropout=0.4, **fitted).save_pretrained(tmp_path / "model")

    def load(**keywords):
        return torch.hub.load(
            str(ROOT), "mobilenetv3_cifar", tmp_path / "model", source="local", **keywords
        )

    trained = MobileNetV3Cifar.from_pretrained(tmp_path / "model")
    model = load(pretrained=True, labels=["a", "b"], dropout=0.2)
    assert (model.config.labels, model.config.dropout) == (("a", "b"), 0.2)
    fresh = load(pretrained=False)
    assert (fresh.config.dropout, fresh.config.temperature) == (0.4, 1.0)
    assert (fresh.config.ood_score, fresh.config.ood_weights) == ("confidence", ())
    assert not torch.equal(fresh.features.stem.weight, trained.features.stem.weight)
    given = load(pretrained=False, device="meta", temperature=3.0)
    assert (given.config.temperature, given.head[-1].weight.device.type) == (3.0, "meta")


@pytest.mark.parametrize(
    ("package", "name"), [("torch", "MobileNetV3Cifar"), ("onnxruntime", "OnnxClassifier")]
)
def test_a_star_import_leaves_out_what_is_not_installed(package, name):
    script = f"import sys; sys.modules[{package!r}] = None; from mobilenetv3_cifar import *; "
    names = run_script(f"{script}print(*sorted(globals()))").split()
    assert name not in names
    assert {"MobileNetV3Cifar", "OnnxClassifier", "explain"} - {name} <= {*names}
