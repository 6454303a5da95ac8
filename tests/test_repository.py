"""These tests check that documents and metadata agree with the files of the repository."""

import ast
import graphlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mobilenetv3_cifar import __version__
from tests.conftest import SLOW
from training import REQUIRED

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "RELEASING.md")
PACKAGE, TRAINING, DEMO = "mobilenetv3_cifar", "training", "demo"
MAY_IMPORT = {
    PACKAGE: set(),
    TRAINING: {PACKAGE},
    DEMO: {PACKAGE},
    "examples": {PACKAGE},
    "benchmarks": {PACKAGE, TRAINING, DEMO},
}
OURS = {*MAY_IMPORT, "tests", "app"}
# What the modules in each folder of `training` may import from `training`. The other modules are
# the commands and what they share, which may import everything.
SETTINGS = {"errors", "experiments", "recipe"}
IN_TRAINING = {
    "dataset": {"errors", "dataset"},
    "loop": {*SETTINGS, "dataset", "loop"},
    "reports": {*SETTINGS, "dataset", "loop", "reports"},
}


def pins(*names):
    """Return {package: version} from requirements files. Skip requirements for other platforms."""
    lines = [line for name in names for line in (ROOT / name).read_text().splitlines()]
    lines = [line.removesuffix("\\") for line in lines if re.match(r"[A-Za-z]", line)]
    requirements = [Requirement(line) for line in lines]
    return {
        canonicalize_name(each.name): str(each.specifier).removeprefix("==")
        for each in requirements
        if each.marker is None or each.marker.evaluate()
    }


def test_version_changelog_and_citation_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    heading = re.search(r"^## (\S+) \((.+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert citation["version"] == heading[1] == __version__
    assert str(citation.get("date-released", "unreleased")) == heading[2]


def test_the_address_is_the_same_everywhere():
    url = PROJECT["urls"]["Repository"]
    assert all(each.startswith(url) for each in PROJECT["urls"].values())
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["repository-code"] == url
    assert f"git+{url}" in (ROOT / "README.md").read_text()


def test_the_locks_pin_whatever_the_requirements_need():
    wanted, locked = pins("requirements.txt"), pins("requirements.lock", "requirements-torch.lock")
    assert wanted.items() <= locked.items()
    for name in wanted:
        for text in importlib.metadata.requires(name) or []:
            each = Requirement(text)
            if each.marker is None or each.marker.evaluate(default_environment() | {"extra": ""}):
                assert each.specifier.contains(locked[canonicalize_name(each.name)])


def test_the_tested_versions_satisfy_the_bounds_for_users():
    tested = pins("requirements.txt")
    extras = PROJECT["optional-dependencies"]
    installed = [each for name in extras if name != "logging" for each in extras[name]]
    for text in [*PROJECT["dependencies"], *installed]:
        each = Requirement(text)
        if each.name != PROJECT["name"]:
            assert each.specifier.contains(tested[canonicalize_name(each.name)]), text


def imports(path):
    """Yield the modules that a file imports, including imports inside functions.

    `from a import b` yields "a.b", because b can be a module.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_go_one_way(folder):
    allowed = MAY_IMPORT[folder] | {folder}
    for path in (ROOT / folder).rglob("*.py"):
        assert {name.split(".")[0] for name in imports(path)} & OURS <= allowed, path


@pytest.mark.parametrize("folder", IN_TRAINING)
def test_imports_inside_training_go_one_way(folder):
    for path in (ROOT / TRAINING / folder).rglob("*.py"):
        ours = [name for name in imports(path) if name.startswith(f"{TRAINING}.")]
        assert {name.split(".")[1] for name in ours} <= IN_TRAINING[folder], path


def test_no_module_imports_itself_through_other_modules():
    paths = [path for folder in MAY_IMPORT for path in (ROOT / folder).rglob("*.py")]
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}
    needed = {}
    for name, path in modules.items():
        imported = [f"{each}." for each in imports(path)]
        needed[name] = [each for each in modules if any(f.startswith(f"{each}.") for f in imported)]
    graphlib.TopologicalSorter(needed).prepare()  # raises a CycleError that lists the modules


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_in_a_document_exists(name):
    text = (ROOT / name).read_text()
    linked = re.findall(r"\]\(([^)#]+)\)", text)
    quoted = re.findall(r"`((?:[\w-]+/)*[\w-]+\.(?:py|md|toml|cff|txt|lock))`", text)
    paths = [path for path in [*linked, *quoted] if "://" not in path]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("module", ["jinja2", "onnx"])
@pytest.mark.parametrize("command", ["train", "quantize"])
def test_a_command_names_what_the_extra_training_lacks(command, module):
    script = f"import sys; sys.modules['{module}'] = None; import training.{command}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    needed = f"error: training needs {module}: pip install '.[training]'\n"
    assert (done.returncode, done.stderr) == (1, needed)


def test_the_commands_require_all_of_the_extra_training():
    extras = PROJECT["optional-dependencies"]
    packages = [*extras["training"], *extras["export"], *extras["onnx"]]
    names = {re.split("[><=]", each)[0] for each in packages if "[" not in each}
    assert {name.replace("scikit-learn", "sklearn") for name in names} == set(REQUIRED)


def test_every_module_marked_slow_exists():
    assert {each for each in SLOW if not (ROOT / "tests" / f"{each}.py").exists()} == set()


def test_the_workflow_runs_what_a_contributor_runs():
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())
    assert workflow["jobs"]["test"]["steps"][-1] == {"run": ".ci/run"}
    assert (ROOT / ".ci/run").read_text().rstrip().endswith("\nmake test")
