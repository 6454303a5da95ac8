"""The demo as a Space: what is sent is enough to run, and pins what is tested here."""

import re
import subprocess
import sys
from pathlib import Path

from demo.space.deploy import ROOT, files


def pins(path):
    return set(re.findall(r"^[\w-]+==\S+", path.read_text(), re.MULTILINE))


def test_a_space_holds_all_that_the_demo_imports_and_nothing_of_training(tmp_path):
    for place, path in files():
        copy = tmp_path / place
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    assert not (tmp_path / "training").exists()
    assert not (tmp_path / "demo" / "space").exists()
    command = [sys.executable, "-c", "import demo, os; print(os.path.dirname(demo.__file__))"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()) == tmp_path / "demo"


def test_a_space_pins_the_versions_that_are_tested():
    tested = pins(ROOT / "requirements.txt")
    space = ROOT / "demo" / "space"
    assert pins(space / "requirements.txt") <= tested
    version = re.search(r"^sdk_version: (\S+)$", (space / "README.md").read_text(), re.MULTILINE)
    assert f"gradio=={version[1]}" in tested
