"""Write the static page: a folder of files for any web host, or for a static Space.

    python -m demo.static.build OUT
    python -m http.server --directory OUT
    hf upload owner/name OUT . --repo-type space

Needs npm for onnxruntime-web, and the extra "export" where the network has no ONNX file yet.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from mobilenetv3_cifar import MobileNetV3Cifar, MobileNetV3CifarError
from mobilenetv3_cifar.explanation import colour
from mobilenetv3_cifar.hub import INT8_FILE
from mobilenetv3_cifar.variants import ONNX_FILE, get_variant

PAGE = Path(__file__).parent / "page"
EXAMPLE = Path(__file__).parents[1] / "assets" / "cat.png"
RUNTIME = "onnxruntime-web@1.30.0"
# File of the npm package -> its name in the page, and SHA-256.
RUNTIME_FILES = {
    "package/dist/ort.wasm.bundle.min.mjs": (
        "ort.wasm.bundle.min.mjs",
        "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    ),
    "package/dist/ort-wasm-simd-threaded.wasm": (
        "ort.wasm",
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    ),
}
SPACE_CARD = """---
title: MobileNetV3 on CIFAR-10, live in the browser
sdk: static
license: mit
---
Built by `python -m demo.static.build`.
"""
SERVICE_WORKER = "service-worker.js"
NOT_CACHED = (SERVICE_WORKER, "README.md")


def build(out: Path, name: str | None = None) -> None:
    """Write all files into a new folder `out`.

    Args:
        name: a shipped variant, by default the best, or a model folder.

    Raises:
        MobileNetV3CifarError: `out` exists, there is no such network, or npm cannot bring
            onnxruntime-web.
    """
    if out.exists():
        raise MobileNetV3CifarError(f"{out} exists already: name a new folder")
    folder = Path(name) if name and Path(name).is_dir() else get_variant(name).folder
    with tempfile.TemporaryDirectory() as temporary:
        page = Path(temporary, "page")
        shutil.copytree(PAGE, page)
        shutil.copyfile(EXAMPLE, page / "example.png")
        fetch_runtime(page)
        write_network(folder, page)
        (page / "README.md").write_text(SPACE_CARD, encoding="utf-8")
        finish_service_worker(page)
        shutil.copytree(page, out)  # whole, and only now


def fetch_runtime(page: Path) -> None:
    """onnxruntime-web's two files, by npm; refused unless they are the pinned ones."""
    with tempfile.TemporaryDirectory() as temporary:
        command = ["npm", "pack", "--silent", "--prefer-offline", RUNTIME]
        try:
            done = subprocess.run(
                command, cwd=temporary, capture_output=True, text=True, check=True
            )
        except FileNotFoundError as error:
            raise MobileNetV3CifarError("npm is missing: install Node.js") from error
        except subprocess.CalledProcessError as error:
            raise MobileNetV3CifarError(f"npm pack {RUNTIME} failed: {error.stderr}") from error
        with tarfile.open(Path(temporary, done.stdout.split()[-1])) as archive:
            for path, (name, sha256) in RUNTIME_FILES.items():
                member = archive.extractfile(path)
                content = member.read() if member else b""
                if hashlib.sha256(content).hexdigest() != sha256:
                    raise MobileNetV3CifarError(f"{path} of {RUNTIME} is not the pinned file")
                (page / name).write_bytes(content)


def write_network(folder: Path, page: Path) -> None:
    """`model.onnx`, in 8 bits where the variant has it, and `network.json`, its metadata."""
    path = next((folder / n for n in (INT8_FILE, ONNX_FILE) if (folder / n).is_file()), None)
    if path is None:
        from mobilenetv3_cifar.export import export_onnx  # on use: it needs the extra "export"

        path = page / ONNX_FILE
        export_onnx(MobileNetV3Cifar.from_pretrained(folder), path)
    else:
        shutil.copyfile(path, page / ONNX_FILE)
    facts = read_metadata(page / ONNX_FILE) | {"name": folder.name, "colours": colour_table()}
    (page / "network.json").write_text(json.dumps(facts), encoding="utf-8")


def read_metadata(path: Path) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    stored = session.get_modelmeta().custom_metadata_map
    return {name: json.loads(value) for name, value in stored.items()}


def colour_table() -> list[list[int]]:
    """The colours of the maps: RGB of 256 levels, as in `overlay`."""
    return colour(np.linspace(0, 1, 256)[None])[0].tolist()


def finish_service_worker(page: Path) -> None:
    files = sorted(path.name for path in page.iterdir() if path.name not in NOT_CACHED)
    digest = hashlib.sha256(b"".join((page / name).read_bytes() for name in files)).hexdigest()
    path = page / SERVICE_WORKER
    script = path.read_text(encoding="utf-8").replace("VERSION", digest[:12], 2)
    script = script.replace("FILES = []", f"FILES = {json.dumps(['./', *files])}")
    path.write_text(script, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.static.build")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to write")
    parser.add_argument(
        "--variant", metavar="NAME", help="or a model folder; default: the best shipped"
    )
    arguments = parser.parse_args()
    try:
        build(arguments.out, arguments.variant)
    except MobileNetV3CifarError as error:
        sys.exit(f"error: {error}")
    print(f"{arguments.out}: serve it with python -m http.server --directory {arguments.out}")


if __name__ == "__main__":
    main()
