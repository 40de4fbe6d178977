"""The store of built engines: keys, atomic writes, damage, locks, pruning."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mattecast.engines.errors import EngineError
from mattecast.engines.store import Key, Store, cache_folder

KEY = Key(
    model="a" * 64,
    backend="openvino",
    version="1",
    size=(64, 32),
    precision="f32",
    flags=("mattecast",),
    device="a CPU",
)
OTHERS = {
    "model": "b" * 64,
    "backend": "tensorrt_rtx",
    "version": "2",
    "size": (32, 64),
    "precision": "f16",
    "flags": ("rvm", "downsample_ratio 0.25"),
    "device": "a CPU (BF16)",
}


class Builder:
    """Builds what it is told to and counts."""

    def __init__(self, data=b"engine"):
        self.data, self.count = data, 0

    def __call__(self):
        self.count += 1
        return self.data


def fetch(store, build, key=KEY, load=bytes):
    return store.fetch(key, "default", build, load)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_the_second_time_nothing_is_built(store):
    build = Builder()
    assert fetch(store, build) == fetch(store, build) == b"engine"
    assert build.count == 1
    (entry,) = store.entries()
    assert entry.key == KEY and entry.name == "default" and entry.intact()


@pytest.mark.parametrize("field", OTHERS)
def test_every_field_of_the_key_counts(store, field, caplog):
    caplog.set_level(logging.INFO, "mattecast.engines")
    fetch(store, Builder())
    other = replace(KEY, **{field: OTHERS[field]})
    assert other.digest != KEY.digest
    build = Builder(b"another")
    assert fetch(store, build, other) == b"another" and build.count == 1
    if field != "backend":
        assert f"{field} was" in caplog.messages[-1]


def test_the_side_file_is_for_people_too(store):
    fetch(store, Builder())
    (side,) = store.folder.glob("*.json")
    said = json.loads(side.read_text())
    assert said["key"]["version"] == "1" and said["key"]["size"] == [64, 32]
    assert said["bytes"] == 6 and "build_seconds" in said


@pytest.mark.parametrize("damage", [b"", b"engin", b"enginE", None])
def test_a_damaged_file_is_built_anew(store, damage, caplog):
    fetch(store, Builder())
    (file,) = store.folder.glob("*.engine")
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage)
    build = Builder()
    caplog.set_level(logging.INFO, "mattecast.engines")
    assert fetch(store, build) == b"engine" and build.count == 1
    assert len(caplog.messages) == 1 and caplog.messages[0].startswith("building default")


def test_a_damaged_side_file_is_built_anew(store):
    fetch(store, Builder())
    (side,) = store.folder.glob("*.json")
    side.write_text("{")
    build = Builder()
    assert fetch(store, build) == b"engine" and build.count == 1


def test_what_does_not_load_is_built_once_more_and_then_the_error_is_shown(store, caplog):
    build = Builder()
    fetch(store, build)

    def load(data):
        raise EngineError("from another version")

    with pytest.raises(EngineError, match="another version"):
        fetch(store, build, load=load)
    assert build.count == 2
    assert "does not load, building anew" in caplog.text


def test_a_failed_build_leaves_nothing(store):
    def build():
        raise EngineError("no memory")

    with pytest.raises(EngineError, match="no memory"):
        fetch(store, build)
    assert not store.entries() and not list(store.folder.glob("*.part"))


def test_a_write_that_fails_half_way_leaves_no_half_file(store, monkeypatch, caplog):
    real = os.replace

    def fails(source, target):
        if str(target).endswith(".engine"):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", fails)
    assert fetch(store, Builder()) == b"engine"
    assert "No space left on device" in caplog.text
    assert not list(store.folder.glob("*.part")) and not store.entries()


def test_a_folder_that_cannot_be_made_costs_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    assert fetch(Store(tmp_path / "file"), Builder()) == b"engine"
    assert len(caplog.messages) == 1 and "set MATTECAST_CACHE" in caplog.text


def test_the_least_recently_used_go_first(tmp_path):
    store = Store(tmp_path, limit=100)
    keys = [replace(KEY, version=str(number)) for number in range(3)]
    now = time.time()
    for age, key in zip((30, 20, 10), keys, strict=True):
        fetch(store, Builder(bytes(30)), key)
        os.utime(store.folder / f"{key.digest}.engine", (now - age, now - age))
    fetch(store, Builder(), keys[0])  # used again: now the youngest
    fetch(store, Builder(bytes(30)), replace(KEY, version="new"))
    assert {entry.key.version for entry in store.entries()} == {"0", "2", "new"}
    assert len(store.prune(limit=0)) == 3 and not store.entries()


def test_verify_removes_what_is_damaged(store):
    fetch(store, Builder())
    fetch(store, Builder(b"sound"), replace(KEY, version="2"))
    (store.folder / f"{KEY.digest}.engine").write_bytes(b"changed")
    (line,) = store.verify()
    assert line.startswith(f"{KEY.digest}  default at 64x32")
    assert [entry.key.version for entry in store.entries()] == ["2"]


def test_prune_removes_what_killed_processes_have_left(store):
    fetch(store, Builder())
    left = [store.folder / name for name in (f"{KEY.digest}.engine.7.part", "b.engine", "c.json")]
    for path in left:
        path.write_bytes(b"half")
    store.prune()
    assert all(path.exists() for path in left)  # somebody may still be writing them
    for path in left:
        os.utime(path, (time.time() - 2000,) * 2)
    assert not store.prune()
    assert not any(path.exists() for path in left) and len(store.entries()) == 1


def test_a_folder_for_reading_only_is_read(store, monkeypatch):
    fetch(store, Builder())

    def refused(*names, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "utime", refused)
    build = Builder()
    assert fetch(store, build) == b"engine" and build.count == 0


def test_a_stored_engine_that_cannot_even_be_removed_is_no_obstacle(store, monkeypatch):
    fetch(store, Builder(b"stale"))

    def load(data):
        if data == b"stale":
            raise EngineError("from another version")
        return data

    def refused(*names, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refused)
    monkeypatch.setattr(Path, "unlink", refused)
    monkeypatch.setattr(Path, "write_bytes", refused)
    assert fetch(store, Builder(), load=load) == b"engine"


def slow_build(folder, started, builds):
    def build():
        with builds.get_lock():
            builds.value += 1
        started.set()
        time.sleep(0.5)
        return b"engine"

    assert fetch(Store(Path(folder)), build) == b"engine"


def test_of_two_processes_one_builds_and_one_waits(tmp_path):
    context = multiprocessing.get_context("spawn")
    started, builds = context.Event(), context.Value("i", 0)
    workers = [
        context.Process(target=slow_build, args=(str(tmp_path), started, builds)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0] and builds.value == 1


def killed_while_building(folder):
    fetch(Store(Path(folder)), lambda: os.kill(os.getpid(), signal.SIGKILL))


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_process_killed_in_mid_build_stops_no_other(store, tmp_path):
    worker = multiprocessing.get_context("spawn").Process(
        target=killed_while_building, args=(str(tmp_path),)
    )
    worker.start()
    worker.join(120)
    assert worker.exitcode == -signal.SIGKILL and list(store.folder.glob("*.lock"))
    build = Builder()
    assert fetch(store, build) == b"engine" and build.count == 1


def test_the_environment_names_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MATTECAST_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("MATTECAST_CACHE")
    assert cache_folder().name.lower().startswith(("mattecast", "cache"))
