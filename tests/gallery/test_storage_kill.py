"""Kills, a full disk and concurrent writers: the gallery is in the state before or after a change."""

import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from onelook.errors import OnelookError
from onelook.gallery import storage
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata
from onelook.gallery.database import DATABASE_FILE
from onelook.settings import DetectSettings

SPAWN = multiprocessing.get_context("spawn")
DETECT = {"score": 0.5, "nms": 0.4, "longest_side": 640}
METADATA = GalleryMetadata.model_validate(
    {
        "fingerprint": "f",
        "embedding_size": 32,
        "threshold": 0.5,
        "target_fpir": 0.1,
        "detect": DetectSettings(**DETECT),
        "managed": False,
    }
)


def rows_of(person: str, count: int) -> tuple[tuple[EnrolledFace, ...], np.ndarray]:
    rows = np.random.default_rng(sum(person.encode())).normal(size=(count, 32))
    entries = tuple(EnrolledFace(person=person, photo=f"{person}{i}.jpg", sha256=f"{i:064x}") for i in range(count))
    return entries, (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def enroll(folder: Path, person: str, count: int = 3) -> None:
    storage.update(folder, lambda data: data.add(*rows_of(person, count)), initial=METADATA)


def forget(folder: Path, person: str) -> None:
    storage.update(folder, lambda data: data.remove(person))


def people(folder: Path) -> dict[str, int]:
    data: GalleryData = storage.read(folder)
    for name, entries in data.faces_by_person().items():
        mine = data.embeddings[[entry.person == name for entry in data.faces]]
        np.testing.assert_array_equal(mine, rows_of(name, len(entries))[1])
    return {name: len(entries) for name, entries in data.faces_by_person().items()}


def die_at(event: int, action: Callable[[], None]) -> None:
    """In a forked child: run `action` and kill -9 the child before the given access to the file system."""
    left = event

    def count(name: str, _: object) -> None:
        nonlocal left
        if name == "open" or name.startswith(("os.", "shutil.", "tempfile.", "sqlite3.")):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    action()
    os._exit(0)


def kill_at_every_access(root: Path, kind: str) -> None:
    """Run in a process of its own, which forks: a change, killed before its first, second, … access to a file."""
    prepared = root / "prepared"
    enroll(prepared, "anna")
    enroll(prepared, "bob")
    before = {"anna": 3, "bob": 3}
    changes = {
        "create": (partial(enroll, person="carl"), {"carl": 3}),
        "enroll": (partial(enroll, person="carl"), before | {"carl": 3}),
        "forget": (partial(forget, person="bob"), {"anna": 3}),
        "restore": (partial(storage.restore, data=storage.read(prepared).remove("anna")), {"bob": 3}),
    }
    action, after = changes[kind]
    outcomes = {"before": 0, "after": 0}
    for event in range(1, 1000):
        folder = root / str(event) / "gallery"
        folder.parent.mkdir()
        if kind != "create":
            shutil.copytree(prepared, folder)
        child = os.fork()
        if child == 0:
            die_at(event, partial(action, folder))
        _, status = os.waitpid(child, 0)
        now = people(folder) if kind != "create" or folder.exists() else None
        assert now in ((None if kind == "create" else before), after), (event, now)
        outcomes["after" if now == after else "before"] += 1
        # What the kill left behind neither blocks nor outlives the next change.
        enroll(folder, "dora")
        assert people(folder) == (now or {}) | {"dora": 3}
        assert {path.name for path in folder.iterdir()} == {DATABASE_FILE, "swept.json"}, event
        assert not storage.has_remains(folder), event
        assert {path.name for path in folder.parent.iterdir()} == {"gallery", ".gallery.lock"}, event
        if os.WIFEXITED(status):
            assert now == after
            break
        shutil.rmtree(folder.parent)
    assert outcomes["before"] >= 5, outcomes
    assert outcomes["after"] >= 2, outcomes


def change_for_ever(folder: Path) -> None:
    while True:
        enroll(folder, "carl")
        forget(folder, "carl")


def kill_at_random(folder: Path) -> None:
    """Run in a process of its own, which forks: endless changes, killed at random moments."""
    enroll(folder, "anna")
    moments = random.Random(3)
    for _ in range(15):
        child = os.fork()
        if child == 0:
            change_for_ever(folder)
        seen = (folder / DATABASE_FILE).stat().st_mtime_ns
        while (folder / DATABASE_FILE).stat().st_mtime_ns == seen:  # its first change: it is at work
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.06))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert people(folder) in ({"anna": 3}, {"anna": 3, "carl": 3})
        if "carl" in people(folder):
            forget(folder, "carl")
    assert people(folder) == {"anna": 3}


def enroll_many(folder: Path, people: list[str]) -> None:
    for person in people:
        enroll(folder, person)


def fill_the_disk(folder: Path, limits: list[int]) -> None:
    """Changes under ever larger limits on the size of a file stand for a disk that fills up at any byte."""
    outcomes = []
    for limit in limits:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        said = ""
        try:
            enroll(folder, "carl", 40)
        except OnelookError as error:
            said = str(error)
            assert "\n" not in said
            assert ("changed, but" in said) or "nothing was changed" in said, said
            # Where the shared memory of the database cannot grow; of an empty one, SQLite cannot tell.
            assert not limit or "cannot lock files" not in said, said
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        is_changed = people(folder) == {"anna": 3, "carl": 40}
        assert is_changed or people(folder) == {"anna": 3}
        assert is_changed == ("changed, but" in said or not said), said
        outcomes.append("nothing" if not is_changed else "but" if said else "all")
        if is_changed:
            forget(folder, "carl")
    assert set(outcomes) == {"nothing", "but", "all"} and outcomes[-1] == "all", outcomes
    assert not storage.has_remains(folder)


def run(target: Callable[..., None], *arguments: object) -> None:
    process = SPAWN.Process(target=target, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 0


@pytest.mark.parametrize("kind", ["create", "enroll", "forget", "restore"])
def test_killed_before_any_file_access(tmp_path: Path, kind: str) -> None:
    run(kill_at_every_access, tmp_path, kind)


def test_killed_at_random_moments(tmp_path: Path) -> None:
    run(kill_at_random, tmp_path / "gallery")


def test_a_full_disk_leaves_the_old_gallery(tmp_path: Path) -> None:
    enroll(tmp_path / "gallery", "anna")
    run(fill_the_disk, tmp_path / "gallery", [0, 100, 5000, 32_768, 45_000, 65_536, 10_000_000])


def test_concurrent_enrollments_are_all_kept(tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    lists = [[f"{letter}{i}" for i in range(12)] for letter in "ab"]
    processes = [SPAWN.Process(target=enroll_many, args=(folder, names)) for names in lists]
    for process in processes:
        process.start()  # neither finds a gallery: one of them begins it, the other joins
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert people(folder) == {name: 3 for names in lists for name in names}
