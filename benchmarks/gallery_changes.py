"""Time changes of galleries of 1,000, 10,000 and 100,000 people, and searches while another process enrolls.

    python benchmarks/gallery_changes.py [--people 1000 10000 100000] [--folder FOLDER]

The people are simulated: one random unit vector of 128 dimensions and one thumbnail of random bytes each. Prints a
Markdown table. A change is made through an open gallery and is on the disk when it ends; the index of the search
follows. Opening includes the verification of every row. The memory is the peak of a process that opens the gallery,
searches and enrolls, FAISS and Python included. Times are medians, of the waiting also the 99th percentile. In
parentheses is the time of the processor, which other programs on the machine do not lengthen.

A search waits for another process in the refresh, which reads what that process changed; the search itself is in
memory.
"""

import argparse
import base64
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from gallery_kills import METADATA, SIZE

from onelook.face_quality import Quality
from onelook.gallery import storage
from onelook.gallery.data import EnrolledFace, GalleryData
from onelook.gallery.enrollment import EnrollmentBatch
from onelook.gallery.faiss_backend import FaissBackend

THUMBNAIL_BYTES = 3000
TIMES = 15
SECONDS = 5  # of searching while another process enrolls
COLUMNS = (
    "people",
    "on the disk",
    "open",
    "first search",
    "enroll",
    "rename",
    "remove a photo",
    "forget",
    "peak memory",
    "search",
    "refresh, alone: median, 99 %",
    "refresh and search, alone",
    "refresh while another process enrolls",
    "refresh and search while another process enrolls",
)


def main() -> None:
    """Measure each size in processes of its own and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="sizes")
    parser.add_argument("--folder", type=Path, help="where to write the galleries; default: the temporary folder")
    arguments = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    for people in arguments.people:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as root:
            folder = Path(root) / "gallery"
            run(fill, folder, people)
            print(f"wrote {people:,} people", file=sys.stderr)
            size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
            cells = [f"{people:,}", f"{size:,.0f} MB", *run(measure, folder), *measure_waiting(folder)]
            print(f"| {' | '.join(cells)} |", flush=True)


def run(work: Callable[..., object], *arguments: object) -> list[str]:
    """Run a function in a new process and return what it sends."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(sender, *arguments))
    process.start()
    sender.close()
    result: list[str] = receiver.recv()
    process.join()
    return result


def fill(sender: Connection, folder: Path, people: int) -> None:
    """Write a gallery."""
    batch = make_batch(0, people)
    storage.create(folder, GalleryData(METADATA, batch.faces, batch.embeddings))
    sender.send([])


def measure(sender: Connection, folder: Path) -> None:
    """Time the opening, a search and changes, and send the cells."""
    backends: list[FaissBackend] = []
    opened = time_of(lambda: backends.append(FaissBackend(folder)))
    backend = backends[0]
    probe = make_batch(0, 1).embeddings
    searched = time_of(lambda: backend.search(probe))
    first = 10_000_000
    enroll = median(lambda i: backend.add(make_batch(first + i, 1), all_or_nothing=True))
    for i in range(TIMES):
        backend.add(rename(make_batch(first + TIMES + i, 1), name_of(first + i)), all_or_nothing=True)
    renamed = median(lambda i: backend.rename(name_of(first + i), f"renamed {i}"))
    removed = median(lambda i: backend.remove_photos(f"renamed {i}", [digest_of(first + i)]))
    forgotten = median(lambda i: backend.forget(f"renamed {i}"))
    search = median(lambda i: backend.search(probe))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    changes = [f"{1000 * wall:.0f} ms ({1000 * cpu:.0f})" for wall, cpu in (enroll, renamed, removed, forgotten)]
    beginning = [f"{wall:.2f} s ({cpu:.2f})" for wall, cpu in (opened, searched)]
    sender.send([*beginning, *changes, f"{memory:.2f} GB", f"{1000 * search[0]:.1f} ms"])


def measure_waiting(folder: Path) -> list[str]:
    """Time a search with a refresh before it, again and again, while another process enrolls without a pause."""
    backend = FaissBackend(folder)
    probe = make_batch(0, 1).embeddings
    backend.search(probe)
    alone = search_on(backend, probe)
    process = multiprocessing.get_context("spawn").Process(target=enroll_on, args=(folder,))
    process.start()
    start = backend.revision()
    while backend.revision() == start:
        time.sleep(0.01)
    together = search_on(backend, probe)
    process.terminate()
    process.join()
    return [*alone, *together]


def search_on(backend: FaissBackend, probe: np.ndarray) -> tuple[str, str]:
    """Refresh and search for some seconds, and return the cells of the refresh and of both."""
    refreshed, searched = [], []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        began = time.perf_counter()
        backend.refresh()
        refreshed.append(1000 * (time.perf_counter() - began))
        backend.search(probe)
        searched.append(1000 * (time.perf_counter() - began))
        time.sleep(0.002)
    cells = [f"{statistics.median(each):.1f} ms, {np.quantile(each, 0.99):.1f} ms" for each in (refreshed, searched)]
    return cells[0], cells[1]


def enroll_on(folder: Path) -> None:
    """Enroll people one by one without end."""
    backend = FaissBackend(folder)
    number = 20_000_000
    while True:
        backend.add(make_batch(number, 1), all_or_nothing=True)
        number += 1


def make_batch(first: int, count: int) -> EnrollmentBatch:
    """Make simulated people with one face each."""
    rng = np.random.default_rng(first)
    rows = rng.normal(size=(count, SIZE)).astype(np.float32)
    faces = tuple(
        EnrolledFace(
            person=name_of(number),
            photo=f"photos/{number}.jpg",
            sha256=digest_of(number),
            quality=Quality(score=0.9, size=60.0, sharpness=0.5),
            thumbnail=base64.b64encode(rng.bytes(THUMBNAIL_BYTES)).decode(),
        )
        for number in range(first, first + count)
    )
    return EnrollmentBatch(faces, rows / np.linalg.norm(rows, axis=1, keepdims=True))


def rename(batch: EnrollmentBatch, name: str) -> EnrollmentBatch:
    """Give the faces of a batch to one person."""
    return EnrollmentBatch(tuple(face.model_copy(update={"person": name}) for face in batch.faces), batch.embeddings)


def name_of(number: int) -> str:
    """Return the name of a simulated person."""
    return f"person {number}"


def digest_of(number: int) -> str:
    """Return a digest; the index of the digests is written in random places."""
    return np.random.default_rng(number).bytes(32).hex()


def time_of(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that work takes, and those of the processor."""
    began, began_processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - began_processor


def median(work: Callable[[int], object]) -> tuple[float, float]:
    """Return the medians of the seconds that work takes, and of those of the processor."""
    seconds = [time_of(partial(work, number)) for number in range(TIMES)]
    return statistics.median(each[0] for each in seconds), statistics.median(each[1] for each in seconds)


if __name__ == "__main__":
    main()
