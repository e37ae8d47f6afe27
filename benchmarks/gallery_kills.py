"""Kill changes of a gallery at random moments, one process first, then 16 at once.

    python benchmarks/gallery_kills.py [--kills 200] [--processes 16] [--minutes 0.5]

A process enrolls, renames, merges, forgets and restores without end, and notes each change before it begins. It is
killed (SIGKILL) at a random moment. The gallery must then open and equal, to the last bit, its state before or after
the noted change. The next change must leave no remains of the killed process.

Then processes enroll, rename and forget people in a gallery that does not exist yet, while random ones are killed and
started again. They sync each acknowledged change to a journal (`gallery_writers.py`). At the end, the gallery must hold
exactly what the journals say. It must pass its check, with no file left over and no forgotten name or embedding in its
files. The exit code is 1 where one of this fails.
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
from gallery_writers import Outcome, fork, make_batch, run_writers

from onelook.gallery import storage
from onelook.gallery.backend import GalleryBackend
from onelook.gallery.backend_factory import open_backend, write_gallery
from onelook.gallery.backup import read_backup, write_backup
from onelook.gallery.checking import check_gallery
from onelook.gallery.data import GalleryData, GalleryMetadata
from onelook.settings import DetectSettings

SIZE = 128
METADATA = GalleryMetadata(
    fingerprint="f",
    embedding_size=SIZE,
    threshold=0.5,
    target_fpir=0.01,
    detect=DetectSettings(score=0.5, nms=0.4, longest_side=1280),
    managed=False,
)
# What is done over and over, from the start to the start again: the last one puts back the backup of the start.
CHANGES: dict[str, Callable[[GalleryBackend], object]] = {
    "enroll": lambda backend: backend.add(faces_of("carl", 100), all_or_nothing=True),
    "rename": lambda backend: backend.rename("carl", "carla"),
    "merge": lambda backend: backend.merge("carla", "bob"),
    "forget": lambda backend: backend.forget("bob"),
    "restore": lambda backend: restore(backend),
}
BACKUP = "start.zip"


def main() -> None:
    """Kill, check, count and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="of the one process; 0: none")
    parser.add_argument("--processes", type=int, default=16, help="how many change one gallery at once")
    parser.add_argument("--minutes", type=float, default=0.5, help="how long they do")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.kills:
            (Path(folder) / "one").mkdir()
            outcomes = kill_often(Path(folder) / "one", arguments.kills)
            print("| killed during | kills | found as before | found as after | between |\n|---|---|---|---|---|")
            for change in CHANGES:
                before, after = outcomes[change, "before"], outcomes[change, "after"]
                print(f"| {change} | {before + after} | {before} | {after} | 0 |", flush=True)
            print()
        (Path(folder) / "many").mkdir()
        found = run_writers(Path(folder) / "many", METADATA, arguments.processes, 60 * arguments.minutes)
    print_outcome(found, arguments.processes, arguments.minutes)
    for problem in found.problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if found.lost or found.failures or found.kept or found.problems else 0)


def kill_often(root: Path, kills: int) -> Counter[tuple[str, str]]:
    """Return the states found after each kill.

    Exit where it is neither of the two valid ones.
    """
    states = make_states(root)
    moments = random.Random(2026)
    outcomes: Counter[tuple[str, str]] = Counter()
    cycle = 0.5
    names = list(CHANGES)
    for number in range(kills):
        folder, journal = root / f"{number}", root / f"{number}.journal"
        write_gallery(folder, states[0])
        child = fork(lambda folder=folder, journal=journal: change_forever(folder, journal))
        began = time.monotonic()
        while not journal.exists() or journal.stat().st_size < len(CHANGES):  # once through: it is at work
            time.sleep(0.002)
        cycle = 0.8 * cycle + 0.2 * (time.monotonic() - began)
        time.sleep(moments.uniform(0, cycle))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        step = (journal.stat().st_size - 1) % len(CHANGES)
        found = open_backend(folder).read_data()
        before, after = same(found, states[step]), same(found, states[step + 1])
        if not before and not after:
            sys.exit(f"kill {number}, during {names[step]}: neither the state before nor the one after")
        outcomes[names[step], "after" if after else "before"] += 1
        open_backend(folder).add(faces_of("dora", 1), all_or_nothing=True)
        if problems := [*check_gallery(folder), *find_others(root, number)]:
            sys.exit(f"kill {number}, during {names[step]}: {problems}")
    return outcomes


def make_states(root: Path) -> list[GalleryData]:
    """Return the gallery at the start and after each change, and write the backup of the start."""
    batches = [faces_of(name, 200) for name in ("anna", "bob")]
    faces, rows = [each.faces for each in batches], [each.embeddings for each in batches]
    start = GalleryData(METADATA, (*faces[0], *faces[1]), np.concatenate(rows))
    write_backup(root / BACKUP, start)
    write_gallery(root / "reference", start)
    states = [start]
    for change in CHANGES.values():
        change(open_backend(root / "reference"))
        states.append(open_backend(root / "reference").read_data())
    return states


def change_forever(folder: Path, journal: Path) -> None:
    """Change the gallery without end.

    Append a byte to the journal before every change.
    """
    backend = open_backend(folder)
    with journal.open("wb", buffering=0) as notes:
        while True:
            for change in CHANGES.values():
                notes.write(b".")
                change(backend)


def restore(backend: GalleryBackend) -> None:
    """Put back the backup of the start, with the people who were forgotten since."""
    assert isinstance(backend.location, Path)
    storage.restore(backend.location, read_backup(backend.location.parent / BACKUP), with_forgotten=True)
    backend.refresh()


def find_others(root: Path, number: int) -> list[Path]:
    """Return the hidden files and folders of a gallery beside it, without its lock."""
    return [path for path in root.glob(f".{number}.*") if path.name != f".{number}.lock"]


def faces_of(person: str, count: int):
    """Return a batch of faces of a person."""
    return make_batch(person, [f"{person}{i}.jpg" for i in range(count)], SIZE)


def same(one: GalleryData, other: GalleryData) -> bool:
    """Return whether two galleries are equal to the last bit, but for the salted record of who was forgotten."""
    return (one.metadata, one.faces) == (other.metadata, other.faces) and np.array_equal(
        one.embeddings, other.embeddings
    )


def print_outcome(found: Outcome, processes: int, minutes: float) -> None:
    """Print the table of the processes at once."""
    kinds = ("enroll", "rename", "forget")
    print(
        f"{processes} processes at once for {minutes:g} minutes, with {found.kills} kills and restarts:\n\n"
        "| acknowledged changes: enroll, rename, forget | killed during a change: found as before, as after | between "
        "| processes with a lost change | processes that failed | people at the end | forgotten or renamed: in all, "
        "still in a file | problems of the check, files left |\n|---|---|---|---|---|---|---|---|\n"
        f"| {', '.join(f'{found.acknowledged[kind]:,}' for kind in kinds)} "
        f"| {found.found['before']}, {found.found['after']} | 0 | {found.lost} | {found.failures} | {found.people} "
        f"| {found.removed:,}, {found.kept} | {len(found.problems)} |"
    )


if __name__ == "__main__":
    main()
