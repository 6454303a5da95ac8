"""These tests build the demo's static page without a browser."""

import sys

import pytest

from demo.static import build as building
from mobilenetv3_cifar import MobileNetV3CifarError
from mobilenetv3_cifar.variants import get_variant


def test_an_existing_folder_is_not_overwritten(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["build", str(tmp_path)])
    with pytest.raises(SystemExit, match=f"^error: {tmp_path} already exists: use a new folder$"):
        building.main()
    assert list(tmp_path.iterdir()) == []


def test_a_path_below_a_file_is_refused_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["build", str(tmp_path / "file" / "page")])
    with pytest.raises(SystemExit, match=f"^error: .*{tmp_path / 'file'}"):
        building.main()


def test_the_error_contains_npms_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")  # no server listens there
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    with pytest.raises(MobileNetV3CifarError, match=r"^npm pack .* failed: code E.*:9"):
        building.fetch_runtime(tmp_path)


def test_a_shipped_name_is_preferred_over_a_folder_of_the_same_name(tmp_path, monkeypatch):
    variant, folders = get_variant(), []
    (tmp_path / variant.name).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(building, "write_network", lambda folder, page: folders.append(folder))
    monkeypatch.setattr(building, "fetch_runtime", lambda page: None)
    building.build(tmp_path / "page", variant.name)
    assert folders == [variant.folder]


def test_a_runtime_that_is_not_the_pinned_one_is_refused(tmp_path, monkeypatch):
    files = {"0" * 64: "ort.wasm.bundle.min.mjs"}
    monkeypatch.setattr(building, "RUNTIME_FILES", files)
    with pytest.raises(MobileNetV3CifarError, match="is not the pinned file"):
        building.fetch_runtime(tmp_path)
    assert list(tmp_path.iterdir()) == []
