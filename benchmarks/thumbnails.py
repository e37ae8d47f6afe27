"""Time a gallery with and without thumbnails.

Two changes and one read of ten thousand faces.

    python benchmarks/thumbnails.py

The pictures are those of the embedded default data (ORL database of faces, AT&T Laboratories Cambridge); the embeddings
are random. Prints a Markdown table; times are medians.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from onelook.data.readers.orl import read_orl
from onelook.face_quality import Quality
from onelook.gallery import storage
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata
from onelook.gallery.thumbnail import make_thumbnail
from onelook.settings import DetectSettings

ROWS, SIZE, TIMES = 10_000, 128, 9


def main() -> None:
    """Time a gallery without them and one with them, and print the table."""
    pictures = [make_thumbnail(each.read(), np.asarray([10, 20, 80, 100], np.float32)) for each in read_orl().images]
    characters = statistics.mean(map(len, pictures))
    rows = []
    for chosen in (None, pictures):
        contents = _contents(chosen)
        with tempfile.TemporaryDirectory() as root:
            folder = Path(root) / "gallery"
            storage.create(folder, contents)
            change = _median(lambda folder=folder, contents=contents: _rename_twice(folder, contents.identities[0]))
            read = _median(lambda folder=folder: storage.read(folder))
            rows.append((sum(path.stat().st_size for path in folder.iterdir()) / 1e6, change, read))
    print(f"| {ROWS:,} rows | on the disk | two changes | a reading |\n|---|---|---|---|")
    for name, (size, change, read) in zip(
        ("without thumbnails", f"with one in each row, {characters:,.0f} characters"), rows, strict=True
    ):
        print(f"| {name} | {size:.0f} MB | {change:.2f} s | {read:.2f} s |")
    print(f"| ratio | {' | '.join(f'{more / less:.1f}' for less, more in zip(*rows, strict=True))} |")


def _contents(pictures: list[str] | None) -> GalleryData:
    rows = np.random.default_rng(0).normal(size=(ROWS, SIZE)).astype(np.float32)
    detect = DetectSettings(score=0.5, nms=0.4, longest_side=640)
    terms = GalleryMetadata(
        fingerprint="f", embedding_size=SIZE, threshold=0.5, target_fpir=0.01, detect=detect, managed=False
    )
    entries = tuple(
        EnrolledFace(
            person=f"person {i // 5}",
            photo=f"photos/{i}.jpg",
            sha256=f"{i:064x}",
            quality=Quality(score=0.9, size=60.0, sharpness=0.5),
            thumbnail=None if pictures is None else pictures[i % len(pictures)],
        )
        for i in range(ROWS)
    )
    return GalleryData(terms, entries, rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _rename_twice(folder: Path, name: str) -> None:
    for old, new in ((name, "new"), ("new", name)):
        storage.update(folder, lambda held, old=old, new=new: held.rename(old, new), people=[old, new])


def _median(run: Callable[[], object]) -> float:
    seconds = []
    for _ in range(TIMES):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
