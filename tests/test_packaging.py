"""`pip install .` must install the package with its shipped variants, and nothing else."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAX_BYTES = 100_000_000  # the largest allowed size of the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_package_and_every_shipped_variant(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"mobilenetv3_cifar"}
    assert "mobilenetv3_cifar/py.typed" in names
    shipped = {path.parent.name for path in (ROOT / "model_cards").glob("*/metrics.json")}
    assert shipped
    for variant in shipped:
        # A push from the installed package sends the card and the figures that it shows.
        for file in ("config.json", "model.safetensors", "metrics.json", "README.md", "curves.png"):
            assert f"mobilenetv3_cifar/model_cards/{variant}/{file}" in names
    assert wheel.stat().st_size <= MAX_BYTES


def test_pypi_shows_the_readme_with_absolute_links_that_exist_in_the_repository(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        text = archive.read(name).decode()
    links = re.findall(r"\]\((.*?)\)", text)
    own = [link for link in links if "/mobilenetv3-cifar/mobilenetv3-cifar/" in link]
    assert [link for link in links if not link.startswith("https://")] == []
    paths = [re.sub(r"https://.*?/(blob/)?main/", "", link) for link in own]
    assert {"docs/demo.png", "LICENSE", "model_cards/large-cifar32"} <= {*paths}
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_an_installed_package_predicts_with_a_shipped_variant_away_from_the_checkout(
    wheel, tmp_path
):
    installed = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(installed)
    code = (
        "import numpy, mobilenetv3_cifar as m; "
        "model = m.MobileNetV3Cifar.from_pretrained(m.list_variants()[0].name); "
        "print(m.__file__, len(model.predict(numpy.zeros((32, 32, 3), 'uint8'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(installed / "mobilenetv3_cifar" / "__init__.py"), "3"]
