"""Write the demo's static page to a folder, for any web host or a static Hugging Face Space.

    python -m demo.static.build OUT
    python -m http.server --directory OUT
    hf upload owner/name OUT . --repo-type space

The build requires a network that has an ONNX file. It also requires npm, to download
onnxruntime-web.
"""

import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from mobilenetv3_cifar import MobileNetV3CifarError
from mobilenetv3_cifar.command_line import command_parser, one_line_errors
from mobilenetv3_cifar.explanation import colour
from mobilenetv3_cifar.runtime import OnnxClassifier
from mobilenetv3_cifar.variants import INT8_FILE, ONNX_FILE, get_variant, shipped_folder

PAGE = Path(__file__).parent / "page"
EXAMPLE = Path(__file__).parents[1] / "assets" / "cat.png"
RUNTIME = "onnxruntime-web@1.30.0"
RUNTIME_FILES = {  # {SHA-256 hash: file name in the npm package's folder `dist`}
    "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90": "ort.wasm.bundle.min.mjs",
    "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2": (
        "ort-wasm-simd-threaded.wasm"
    ),
}


def build(out: Path, name: str | None = None) -> None:
    """Write all files of the page into a new folder, `out`.

    `name` is the name of a shipped variant or the path of a model folder. By default, the page
    runs the best shipped variant.
    """
    if out.exists():
        raise MobileNetV3CifarError(f"{out} already exists: use a new folder")
    if name and not shipped_folder(name) and Path(name).is_dir():
        folder = Path(name)
    else:
        folder = get_variant(name).folder
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as temporary:
        page = Path(temporary, "page")
        shutil.copytree(PAGE, page)
        shutil.copyfile(EXAMPLE, page / "example.png")
        write_network(folder, page)
        fetch_runtime(page)
        finish_service_worker(page)
        page.rename(out)  # as the last step, so that a failed build leaves no folder


def write_network(folder: Path, page: Path) -> None:
    """Write the files `model.onnx` and `network.json` of the page.

    `model.onnx` is a copy of the 8-bit ONNX file in `folder` if there is one, else of the float
    file. `network.json` contains the ONNX metadata, the network's name and the maps' colours.
    """
    files = [folder / name for name in (INT8_FILE, ONNX_FILE) if (folder / name).is_file()]
    if not files:
        raise MobileNetV3CifarError(
            f"{folder} has no {ONNX_FILE}: write it with the export command"
        )
    shutil.copyfile(files[0], page / ONNX_FILE)
    facts = OnnxClassifier(files[0]).metadata
    colours = colour(np.linspace(0, 1, 256)[None])[0].tolist()  # the colour scale of the maps
    content = json.dumps(facts | {"name": folder.name, "colours": colours})
    (page / "network.json").write_text(content, encoding="utf-8")


def fetch_runtime(page: Path) -> None:
    """Download `RUNTIME_FILES` into the folder `page` with npm, and check their hashes."""
    command = ["npm", "pack", "--loglevel=error", "--prefer-offline", RUNTIME]
    with tempfile.TemporaryDirectory() as temporary:
        try:
            subprocess.run(command, cwd=temporary, capture_output=True, text=True, check=True)
        except FileNotFoundError as error:
            raise MobileNetV3CifarError("npm is missing: install Node.js") from error
        except subprocess.CalledProcessError as error:
            reason = "; ".join(error.stderr.replace("npm error ", "").splitlines()[:4])
            raise MobileNetV3CifarError(f"npm pack {RUNTIME} failed: {reason}") from error
        with tarfile.open(next(Path(temporary).iterdir())) as archive:
            for sha256, name in RUNTIME_FILES.items():
                member = archive.extractfile(f"package/dist/{name}")
                content = member.read() if member else b""
                if hashlib.sha256(content).hexdigest() != sha256:
                    raise MobileNetV3CifarError(f"{name} of {RUNTIME} is not the pinned file")
                (page / name).write_bytes(content)


def finish_service_worker(page: Path) -> None:
    worker = page / "service-worker.js"
    names = sorted({path.name for path in page.iterdir()} - {worker.name, "README.md"})
    digest = hashlib.sha256(b"".join((page / name).read_bytes() for name in names)).hexdigest()
    script = worker.read_text(encoding="utf-8").replace("-VERSION", f"-{digest[:12]}")
    script = script.replace("FILES = []", f"FILES = {json.dumps(['./', *names])}")
    worker.write_text(script, encoding="utf-8")


@one_line_errors()
def main() -> None:
    parser = command_parser("demo.static.build", __doc__)
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to write")
    parser.add_argument("--variant", help="a variant or a model folder; default: the best variant")
    arguments = parser.parse_args()
    build(arguments.out, arguments.variant)
    print(f"{arguments.out}: serve it with python -m http.server --directory {arguments.out}")


if __name__ == "__main__":
    main()
