"""Kill gallery changes at random moments and run eight writers at once.

Count inconsistent states.

    python benchmarks/gallery_kills.py [--kills 200]

A process enrolls, renames, merges, forgets and restores without end, and logs each change before it begins. It is
killed (SIGKILL) at a random moment. The gallery must then open and equal, to the last bit, its state before or after
the logged change; the next change must leave no remains of the killed process. Then eight processes enroll 25 people
each, one by one, into a gallery that does not exist yet: all 200 must be in it.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from onelook.gallery import storage
from onelook.gallery.backup import read_backup, write_backup
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata, empty_gallery
from onelook.settings import DetectSettings

SIZE = 128
PROCESSES, PEOPLE = 8, 25
METADATA = GalleryMetadata(
    fingerprint="f",
    embedding_size=SIZE,
    threshold=0.5,
    target_fpir=0.01,
    detect=DetectSettings(score=0.5, nms=0.4, longest_side=1280),
    managed=False,
)
# What is done over and over, from the start to the start again: the last one puts back the backup of the start.
CHANGES = ("enroll", "rename", "merge", "forget", "restore")


def main() -> None:
    """Kill, check, count and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="how many")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = adding(adding(empty_gallery(METADATA), "anna", 200), "bob", 200)
        outcomes = kill_often(Path(folder), start, arguments.kills)
        print("| killed during | kills | found as before | found as after | between |\n|---|---|---|---|---|")
        for change in CHANGES:
            before, after = outcomes[change, "before"], outcomes[change, "after"]
            print(f"| {change} | {before + after} | {before} | {after} | 0 |")
        seconds = enroll_at_once(Path(folder) / "many")
    print(f"\n{PROCESSES} processes at once: {PROCESSES * PEOPLE} of {PROCESSES * PEOPLE} people, {seconds:.1f} s.")


def kill_often(root: Path, start: GalleryData, kills: int) -> Counter[tuple[str, str]]:
    """Return the states found after each kill.

    Exit where it is neither of the two valid ones.
    """
    states = [start]
    for change in CHANGES[:-1]:
        states.append(make_edit(change)(states[-1]))
    states.append(start)
    write_backup(root / "start.zip", start)
    moments = random.Random(2026)
    outcomes: Counter[tuple[str, str]] = Counter()
    cycle = 0.5
    for number in range(kills):
        folder, journal = root / f"{number}", root / f"{number}.journal"
        storage.create(folder, start)
        child = fork(lambda folder=folder, journal=journal: change_forever(folder, journal, root / "start.zip"))
        began = time.monotonic()
        while not journal.exists() or journal.stat().st_size < len(CHANGES):  # once through: it is at work
            time.sleep(0.002)
        cycle = 0.8 * cycle + 0.2 * (time.monotonic() - began)
        time.sleep(moments.uniform(0, cycle))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        step = (journal.stat().st_size - 1) % len(CHANGES)
        found = storage.read(folder)
        before, after = same(found, states[step]), same(found, states[step + 1])
        if not before and not after:
            sys.exit(f"kill {number}, during {CHANGES[step]}: neither the state before nor the one after")
        outcomes[CHANGES[step], "after" if after else "before"] += 1
        storage.update(folder, lambda contents: adding(contents, "dora", 1))
        if storage.has_remains(folder) or len(list(root.glob(f".{number}.*"))) != 1:
            sys.exit(f"kill {number}, during {CHANGES[step]}: something of the killed change is left")
    return outcomes


def change_forever(folder: Path, journal: Path, backup: Path) -> None:
    """Change the gallery without end.

    Append a byte to the journal before every change.
    """
    with journal.open("wb", buffering=0) as notes:
        while True:
            for change in CHANGES:
                notes.write(b".")
                if change == "restore":
                    storage.restore(folder, read_backup(backup))
                else:
                    storage.update(folder, make_edit(change))


def make_edit(change: str) -> Callable[[GalleryData], GalleryData]:
    """Return the edit that a change applies to the gallery data."""
    edits: dict[str, Callable[[GalleryData], GalleryData]] = {
        "enroll": lambda contents: adding(contents, "carl", 100),
        "rename": lambda contents: contents.rename("carl", "carla"),
        "merge": lambda contents: contents.merge("carla", "bob"),
        "forget": lambda contents: contents.remove("bob"),
    }
    return edits[change]


def enroll_at_once(folder: Path) -> float:
    """Return the seconds of concurrent enrollment; exit where a person is lost."""
    began = time.monotonic()
    names = [[f"{process} {i}" for i in range(PEOPLE)] for process in range(PROCESSES)]
    children = [fork(lambda mine=mine: enroll_each(folder, mine)) for mine in names]
    if any(os.waitpid(child, 0)[1] for child in children):
        sys.exit("a process failed")
    seconds = time.monotonic() - began
    found = storage.read(folder)
    for name in (name for mine in names for name in mine):
        rows = found.embeddings[[owner == name for owner in found.identities]]
        if not np.array_equal(rows, adding(empty_gallery(METADATA), name, 3).embeddings):
            sys.exit(f"{name}: lost")
    return seconds


def enroll_each(folder: Path, names: list[str]) -> None:
    """Enroll people one by one."""
    for name in names:
        storage.update(folder, lambda contents, name=name: adding(contents, name, 3), initial=METADATA)


def adding(contents: GalleryData, person: str, count: int) -> GalleryData:
    """Return the gallery data with faces of a person that are derived from the name."""
    rows = np.random.default_rng(list(person.encode())).normal(size=(count, SIZE))
    entries = tuple(EnrolledFace(person=person, photo=f"{person}{i}.jpg", sha256=f"{i:064x}") for i in range(count))
    return contents.add(entries, (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))


def same(one: GalleryData, other: GalleryData) -> bool:
    """Return whether two galleries are equal to the last bit."""
    return (one.metadata, one.faces) == (other.metadata, other.faces) and np.array_equal(
        one.embeddings, other.embeddings
    )


def fork(work: Callable[[], None]) -> int:
    """Return the process id of a child that runs `work`."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
