"""Processes that change one gallery while they are killed at random, and what is found of their changes.

Each process notes a change in a journal before it begins, and again when the gallery acknowledged it; both notes are
synced to the disk. It changes only people of its own, so its journal alone gives their state. A process that follows a
killed one looks up whether the change without an acknowledgment is there, whole, or not there at all.
"""

import hashlib
import json
import os
import random
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from onelook.gallery.backend import GalleryBackend
from onelook.gallery.backend_factory import create_backend, is_gallery, open_backend
from onelook.gallery.checking import check_gallery
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata
from onelook.gallery.enrollment import EnrollmentBatch

MAX_PEOPLE = 12  # of one process; beyond it, people are forgotten
_CALM_SECONDS = 2  # at the end, without kills

People = dict[str, list[str]]
"""Photos by person."""


@dataclass
class Journal:
    """Acknowledged and pending changes of a process, read from its journal.

    Attributes:
        people: the photos of the people after all acknowledged changes.
        pending: the change without an acknowledgment; None: there is none.
        acknowledged: number of changes by kind.
        found: number of changes without an acknowledgment that were found as "before" or "after".
        removed: names that were forgotten or renamed, with the photos of the forgotten people.
        started: number of changes that were begun.
    """

    people: People = field(default_factory=dict)
    pending: dict[str, Any] | None = None
    acknowledged: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    removed: list[tuple[str, list[str]]] = field(default_factory=list)
    started: int = 0


def read_journal(path: Path) -> Journal:
    """Read a journal; the last line of a killed process may be torn, its change then did not begin."""
    journal = Journal()
    content = path.read_bytes() if path.exists() else b""
    for line in content[: content.rfind(b"\n") + 1].splitlines():
        entry = json.loads(line)
        if "kind" in entry:
            journal.pending = entry
            journal.started += 1
            continue
        change, journal.pending = journal.pending, None
        assert change is not None
        if entry["outcome"] == "acknowledged":
            journal.acknowledged[change["kind"]] += 1
        else:
            journal.found[entry["outcome"]] += 1
        if entry["outcome"] != "before":
            if change["kind"] != "enroll":
                photos = journal.people[change["name"]] if change["kind"] == "forget" else []
                journal.removed.append((change["name"], photos))
            journal.people = after(journal.people, change)
    return journal


def after(people: People, change: dict[str, Any]) -> People:
    """Return the people of a process after one of its changes."""
    result = {name: photos for name, photos in people.items() if name != change["name"]}
    if change["kind"] == "enroll":
        result[change["name"]] = change["photos"]
    elif change["kind"] == "rename":
        result[change["new"]] = people[change["name"]]
    return result


def apply(backend: GalleryBackend, change: dict[str, Any]) -> None:
    """Make a change."""
    if change["kind"] == "enroll":
        size = backend.metadata.embedding_size
        backend.add(make_batch(change["name"], change["photos"], size), all_or_nothing=True)
    elif change["kind"] == "rename":
        backend.rename(change["name"], change["new"])
    else:
        backend.forget(change["name"])


def make_batch(name: str, photos: Iterable[str], size: int) -> EnrollmentBatch:
    """Make faces of a person that are derived from the names of the photos."""
    faces = tuple(EnrolledFace(person=name, photo=photo, sha256=digest(photo)) for photo in photos)
    return EnrollmentBatch(faces, np.asarray([make_embedding(face.photo, size) for face in faces], np.float32))


def make_embedding(photo: str, size: int) -> np.ndarray:
    """Return the embedding (size,) float32 of a photo."""
    row = np.random.default_rng(list(photo.encode())).normal(size=size)
    return (row / np.linalg.norm(row)).astype(np.float32)


def digest(photo: str) -> str:
    """Return the SHA-256 of a photo."""
    return hashlib.sha256(photo.encode()).hexdigest()


def people_of(data: GalleryData, prefix: str) -> People:
    """Return the people with a prefix; a face with another embedding than its own is named as one of nobody's."""
    people: People = {}
    for face, row in zip(data.faces, data.embeddings, strict=True):
        if face.person.startswith(prefix):
            is_own = np.array_equal(row, make_embedding(face.photo, len(row)))
            people.setdefault(face.person, []).append(face.photo if is_own else f"damaged {face.photo}")
    return people


def prefix_of(number: int) -> str:
    """Return the start of the names of a process's people."""
    return f"person {number:02d}-"


def change_until(folder: Path, journal_path: Path, number: int, metadata: GalleryMetadata, end: float) -> None:
    """Change own people until a moment, after an earlier process with the same journal.

    Raises:
        AssertionError: the gallery has neither the state before nor the one after the change of the earlier process.
    """
    journal = read_journal(journal_path)
    rng = random.Random(f"{number} {journal.started}")
    content = journal_path.read_bytes() if journal_path.exists() else b""
    with journal_path.open("ab", buffering=0) as stream:
        stream.truncate(content.rfind(b"\n") + 1)

        def note(entry: dict[str, Any]) -> None:
            stream.write(json.dumps(entry).encode() + b"\n")
            os.fsync(stream.fileno())

        backend = open_backend(folder) if is_gallery(folder) else create_backend(folder, metadata)
        if journal.pending is not None:
            note({"outcome": resolve(backend.read_data(), journal, number)})
            journal = read_journal(journal_path)
        people = journal.people
        while time.monotonic() < end:
            journal.started += 1
            change = draw_change(rng, people, number, journal.started)
            note(change)
            apply(backend, change)
            note({"outcome": "acknowledged"})
            people = after(people, change)


def resolve(data: GalleryData, journal: Journal, number: int) -> str:
    """Return whether the gallery has the state before or the one after the pending change, or "lost"."""
    found = people_of(data, prefix_of(number))
    if found == journal.people:
        return "before"
    if journal.pending is not None and found == after(journal.people, journal.pending):
        return "after"
    raise AssertionError(f"process {number}: {found} instead of {journal.people}, pending: {journal.pending}")


def draw_change(rng: random.Random, people: People, number: int, count: int) -> dict[str, Any]:
    """Draw the next change of a process; `count` makes its names unique."""
    new = f"{prefix_of(number)}{count:06d}"
    photos = [f"photo {number:02d}-{count:06d}-{i}.jpg" for i in range(rng.randint(1, 3))]
    kind = rng.choice(("enroll", "enroll", "rename", "forget")) if people else "enroll"
    if kind == "enroll" and len(people) < MAX_PEOPLE:
        return {"kind": kind, "name": new, "photos": photos}
    name = rng.choice(sorted(people))
    return {"kind": "rename", "name": name, "new": new} if kind == "rename" else {"kind": "forget", "name": name}


@dataclass(frozen=True)
class Outcome:
    """Counts of the changes and of the people found after the last kill.

    Attributes:
        acknowledged: number of changes by kind.
        kills: number of killed processes.
        found: the killed changes, by whether they were found as "before" or "after".
        people: number of people at the end.
        lost: processes whose acknowledged changes are not all there, or that have something else.
        failures: processes that ended in an error.
        problems: what the check of the gallery says, and files that are left.
        removed: number of names that were forgotten or renamed.
        kept: number of them of which a file of the gallery still has the name, a photo's name or an embedding.
    """

    acknowledged: Counter[str]
    kills: int
    found: Counter[str]
    people: int
    lost: int
    failures: int
    problems: list[str]
    removed: int
    kept: int


def run_writers(root: Path, metadata: GalleryMetadata, processes: int, seconds: float) -> Outcome:
    """Let processes change a gallery that does not exist yet, kill and restart random ones, and check everything.

    Args:
        root: an empty folder.
        metadata: of the gallery.
        processes: how many at once.
        seconds: how long; no kills in the last ones.
    """
    folder, end = root / "gallery", time.monotonic() + seconds
    journals = [root / f"journal{number}" for number in range(processes)]

    def start(number: int) -> int:
        return fork(lambda: change_until(folder, journals[number], number, metadata, end))

    running = {start(number): number for number in range(processes)}
    rng, kills, failures = random.Random(2026), 0, 0
    while running:
        victim = 0
        if time.monotonic() < end - _CALM_SECONDS:
            time.sleep(rng.expovariate(4))
            victim = rng.choice(sorted(running))
            os.kill(victim, signal.SIGKILL)
        child, status = os.waitpid(victim or -1, 0)
        number = running.pop(child)
        kills += os.WIFSIGNALED(status)
        failures += os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0
        if time.monotonic() < end:
            running[start(number)] = number
    return inspect(root, journals, kills, failures)


def inspect(root: Path, paths: list[Path], kills: int, failures: int) -> Outcome:
    """Compare the gallery with the journals, after one more change, which removes what kills left."""
    folder = root / "gallery"
    open_backend(folder).add(
        make_batch("last", ["last.jpg"], open_backend(folder).metadata.embedding_size), all_or_nothing=True
    )
    data = open_backend(folder).read_data()
    acknowledged, found, lost, removed = Counter[str](), Counter[str](), 0, []
    for number, path in enumerate(paths):
        journal = read_journal(path)
        acknowledged += journal.acknowledged
        found += journal.found
        removed += journal.removed
        try:
            resolve(data, journal, number)
        except AssertionError:
            lost += 1
    files = [path for path in root.rglob("*") if path.is_file() and path not in paths]
    names = {path.relative_to(root).as_posix() for path in files}
    extra = names - {".gallery.lock", "gallery/gallery.sqlite", "gallery/swept.json"}
    problems = [*check_gallery(folder), *(f"{name}: left" for name in sorted(extra))]
    content = b"".join(path.read_bytes() for path in files)
    kept = sum(is_in(content, name, photos, data.metadata.embedding_size) for name, photos in removed)
    people = len(set(data.identities)) - 1
    return Outcome(acknowledged, kills, found, people, lost, failures, problems, len(removed), kept)


def is_in(content: bytes, name: str, photos: Iterable[str], size: int) -> bool:
    """Return whether bytes hold a name, or the name or the embedding of a photo."""
    traces = [name.encode(), *(photo.encode() for photo in photos)]
    return any(trace in content for trace in (*traces, *(make_embedding(photo, size).tobytes() for photo in photos)))


def fork(work: Callable[[], None]) -> int:
    """Return the process id of a child that runs `work`."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)
