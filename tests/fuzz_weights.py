"""Mutate the files of a model folder. Check that each mutant is refused or read correctly.

    python -m tests.fuzz_weights --weights 100000 --configs 5000

The hash of each mutated weights file is written to config.json, because otherwise the hash check
alone would refuse every mutant. Weights that are accepted must be bit for bit the same as the
output of an independent reader.
"""

import argparse
import dataclasses
import json
import random
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from mobilenetv3_cifar import MobileNetV3Cifar, ModelFolderError
from mobilenetv3_cifar.config import digest, encode_config
from mobilenetv3_cifar.folder import read_folder, write_folder

CONFIG = MobileNetV3Cifar(dropout=0.7).config
TENSORS = {
    "norm.num_batches_tracked": torch.tensor(7),
    "norm.running_var": torch.tensor([0.1, 1e-9, 3e4]),  # float16 would change the first two
    "stem.bias": torch.tensor([-0.0, 0.5]),
    "stem.weight": torch.arange(6.0).reshape(2, 3),
}
DTYPES = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4"), "I64": np.dtype("<i8")}
ODD_VALUES = (
    None,
    True,
    -1,
    0,
    1e9,
    10**30,
    "",
    "small",
    "\ud800",
    [],
    ["a"] * 10,
    {},
    [[]],
    "x" * 10**6,
)
ODD_BYTES = (b"{", b"}", b"[", b'"', b"\\", b"\0", b"\xff", b"9" * 20, b"NaN", b"[" * 5000)


@dataclasses.dataclass
class Outcome:
    """The numbers of refused and accepted mutants, the slowest load, and the growth in memory."""

    refused: int = 0
    read: int = 0
    slowest_seconds: float = 0.0
    grown_megabytes: float = 0.0


def mutate_bytes(content: bytes, chance: random.Random) -> bytes:
    """Make one to three small changes: bit flips, cuts, insertions, repeats or odd syntax."""
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(content) + 1)
        to = min(len(content), at + chance.randint(1, 16))
        middle = {
            "flip": bytes(byte ^ (1 << chance.randrange(8)) for byte in content[at : at + 1]),
            "cut": b"",
            "repeat": content[at:to] * 2,
            "insert": chance.randbytes(chance.randint(1, 8)) + content[at:to],
            "odd": chance.choice(ODD_BYTES),
        }
        kind = chance.choice(list(middle))
        content = content[:at] + middle[kind] + content[at + 1 if kind == "flip" else to :]
    return content


def mutate_header(content: bytes, chance: random.Random) -> bytes:
    """Change an entry in the header of a weights file, and update the header's stored length."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    name = chance.choice(list(header))
    field = chance.choice(list(header[name]))
    odd = [
        *ODD_VALUES[:-1],
        "F16",
        "F32",
        "I64",
        "BF16",
        "I32",
        [2],
        [0],
        [6],
        [3, 2],
        [0, 4],
        [8, 20],
    ]
    action = chance.choice(("value", "rename", "drop", "move"))
    if action == "value":
        header[name][field] = chance.choice(odd)
    if action == "rename":
        header[name + "é"] = header.pop(name)
    if action == "drop":
        header[name].pop(field)
    if action == "move" and field == "data_offsets":
        header[name][field] = [edge + chance.choice((-2, 0, 2)) for edge in header[name][field]]
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def mutate_config(content: bytes, chance: random.Random) -> bytes:
    """Replace a value of the config; or remove, add or repeat a key; or change some bytes."""
    values = json.loads(content)
    key = chance.choice(list(values))
    action = chance.choice(("value", "drop", "unknown", "double", "bytes", "bytes"))
    if action == "bytes":
        return mutate_bytes(content, chance)
    if action == "drop":
        values.pop(key)
    if action == "value":
        values[key] = chance.choice(ODD_VALUES)
    if action == "unknown":
        values[key + "_"] = 1
    text = json.dumps(values)
    return (text[:-1] + f', "{key}": 1}}' if action == "double" else text).encode()


def reference(content: bytes) -> dict[str, np.ndarray]:
    """Read a weights file with independent code, based on the specification of safetensors."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    data = content[8 + length :]
    return {
        name: np.frombuffer(data[slice(*entry["data_offsets"])], DTYPES[entry["dtype"]])
        .astype(np.int64 if entry["dtype"] == "I64" else np.float32)
        .reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def same(tensors: dict[str, torch.Tensor], expected: dict[str, np.ndarray]) -> bool:
    return tensors.keys() == expected.keys() and all(
        tensor.numpy().tobytes() == expected[name].tobytes()
        and tuple(tensor.shape) == expected[name].shape
        for name, tensor in tensors.items()
    )


def read_weights(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    (folder / "config.json").write_bytes(encode_config(CONFIG, digest(content)))
    if not same(read_folder(folder).tensors, reference(content)):
        raise AssertionError(f"the loaded values differ from the file: {content!r}")


def read_config(folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)
    config = read_folder(folder).config.to_dict()
    saved = json.loads(content)
    if any(saved[name] != (list(v) if isinstance(v, tuple) else v) for name, v in config.items()):
        raise AssertionError(f"the loaded values differ from the file: {content!r}")


def fuzz(kind: str, count: int, seed: int = 0) -> Outcome:
    """Load `count` mutants of a file. `kind` is "weights" or "configs"."""
    chance, outcome = random.Random(seed), Outcome()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "model")
        write_folder(folder, CONFIG, TENSORS)
        file = folder / ("model.safetensors" if kind == "weights" else "config.json")
        seed_content, before = file.read_bytes(), peak_megabytes()
        for index in range(count):
            started = time.process_time()
            try:
                if kind == "configs":
                    read_config(folder, mutate_config(seed_content, chance))
                else:
                    mutate = mutate_header if index % 4 == 0 else mutate_bytes
                    read_weights(folder, mutate(seed_content, chance))
                outcome.read += 1
            except ModelFolderError:
                outcome.refused += 1
            outcome.slowest_seconds = max(outcome.slowest_seconds, time.process_time() - started)
        outcome.grown_megabytes = peak_megabytes() - before
    return outcome


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_weights", description=__doc__)
    parser.add_argument(
        "--weights", type=int, default=100_000, help="number of mutated weights files"
    )
    parser.add_argument("--configs", type=int, default=5_000, help="number of mutated configs")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for kind in ("weights", "configs"):
        print(kind, fuzz(kind, getattr(arguments, kind), arguments.seed))


if __name__ == "__main__":
    main()
