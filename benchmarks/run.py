"""Compare our speed and size with other libraries, and write benchmarks/RESULTS.md.

    python -m benchmarks.run              about half an hour on two cores
    python -m benchmarks.run --quick      few rounds, without the demo; writes no file

Run the benchmarks on an idle machine. If timm and transformers are installed, they are measured
too. To measure the size of the installation that docs/onnx.md describes, the benchmarks install
its packages with pip in a temporary folder.
"""

import subprocess
import sys
from functools import partial
from pathlib import Path

from benchmarks.inference import exported, measure_inference
from benchmarks.measure import Report
from benchmarks.processes import measure_folder, measure_sizes, measure_start, measure_training
from mobilenetv3_cifar import MobileNetV3Cifar, list_variants
from mobilenetv3_cifar.command_line import command_parser, one_line_errors
from training.dataset.cifar10 import load_sample
from training.experiments import EXPERIMENTS


def measure_native(report: Report, rounds: int, native: str, enlarged: str) -> None:
    """Compare the speeds of the variants `native` (32x32 inputs) and `enlarged` (224x224 inputs).

    `native` runs with ONNX. `enlarged` runs first with PyTorch, then with ONNX. Earlier
    versions of this package had only 224x224 networks, and ran them with PyTorch.
    """
    model, larger = (MobileNetV3Cifar.from_pretrained(name) for name in (native, enlarged))
    image, what = load_sample().images[0], f"{native}: prediction, batch 1"
    for other, runtime, goal in (("PyTorch", larger, 5), ("ONNX", exported(larger), None)):
        sides = [partial(each.predict, image) for each in (exported(model), runtime)]
        report.compare(what, f"{enlarged}, {other}", sides, rounds, 10, goal)


def measure_demo(report: Report, busy: bool) -> None:
    """Add the output of `benchmarks.demo_load` to `report`."""
    command = [sys.executable, "-m", "benchmarks.demo_load", *(["--busy"] if busy else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report.note(f"\nDemo response times in seconds{', with one core kept busy' if busy else ''}:\n")
    report.note(f"```\n{done.stdout.strip()}\n```")


@one_line_errors()
def main() -> None:
    parser = command_parser("benchmarks.run", __doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds; write nothing")
    quick = parser.parse_args().quick
    rounds, report = (2 if quick else 15), Report()
    names = [variant.name for variant in list_variants()]
    ours = [name for name in names if EXPERIMENTS[name].kind == "own"]  # the best first
    native, enlarged = ours[0], next(name for name in names if name not in ours)
    for name in (*ours, enlarged):
        measure_inference(report, name, MobileNetV3Cifar.from_pretrained(name), rounds)
    default = MobileNetV3Cifar.from_pretrained(native)
    measure_native(report, rounds, native, enlarged)
    measure_start(report, default, 2 if quick else 7)
    measure_folder(report, default, 200 if quick else 10_000, 1 if quick else 3)
    measure_sizes(report)
    measure_training(report, 1 if quick else 5, 1 if quick else 8)
    if not quick:
        for busy in (False, True):
            measure_demo(report, busy)
        report.write(Path(__file__).with_name("RESULTS.md"))


if __name__ == "__main__":
    main()
