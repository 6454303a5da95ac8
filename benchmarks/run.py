"""All benchmarks in one run, written to benchmarks/RESULTS.md.

    python -m benchmarks.run              about half an hour on two cores
    python -m benchmarks.run --quick      a rehearsal with few rounds; prints, and writes nothing

Run it when nothing else does. timm and transformers are compared where they are installed.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.inference import measure_inference, native_against_224
from benchmarks.measure import Report
from benchmarks.processes import measure_folder, measure_sizes, measure_start
from benchmarks.training_speed import table
from mobilenetv3_cifar import MobileNetV3Cifar, list_variants

RESULTS = Path(__file__).parent / "RESULTS.md"
FOLDER_IMAGES = 10_000


def measure_training(report: Report) -> None:
    """The lines of `benchmarks.training_speed`."""
    report.note("\nTraining steps, images/s:\n")
    for number, row in enumerate(table("cpu")):
        report.note(f"| {' | '.join(map(str, row))} |")
        if number == 0:
            report.note("|" + " --- |" * len(row))


def measure_demo(report: Report, busy: bool) -> None:
    """The lines of `benchmarks.demo_load`, which compares nothing."""
    command = [sys.executable, "-m", "benchmarks.demo_load", *(["--busy"] if busy else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report.note(f"\nThe demo's visitors{', beside a busy core' if busy else ''}:\n")
    report.note(f"```\n{done.stdout.strip()}\n```")


def best_name(native: bool) -> str | None:
    """The best shipped variant for 32x32 images, or for enlarged ones."""
    names = [variant.name for variant in list_variants()]
    return next((name for name in names if name.endswith("cifar32") == native), None)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="few rounds; write nothing")
    arguments = parser.parse_args()
    quick = arguments.quick
    rounds, report = (2 if quick else 15), Report()
    native, enlarged = best_name(native=True), best_name(native=False)
    for size in ("small", "large"):
        name = next((v.name for v in list_variants() if v.name == f"{size}-cifar32"), None)
        model = (
            MobileNetV3Cifar.from_pretrained(name)
            if name
            else MobileNetV3Cifar(size=size, blocks="cifar32").eval()
        )
        report.subject = name or f"{size}, untrained"
        measure_inference(report, model, rounds)
    measure_start(report, model, 2 if quick else 7)
    measure_folder(report, model, 200 if quick else FOLDER_IMAGES, 1 if quick else 3)
    report.subject = ""
    measure_sizes(report)
    if native and enlarged:
        native_against_224(report, rounds, native, enlarged)
    if not quick:
        measure_training(report)
        for busy in (False, True):
            measure_demo(report, busy)
        report.write(RESULTS, "python -m benchmarks.run")


if __name__ == "__main__":
    main()
