"""Compare the Milvus backend with the FAISS backend.

Same answers, and time, on all of LFW.

    python benchmarks/milvus_against_faiss.py --data ../shared/data [--people 5749] [--cache FILE] [--url ADDRESS]

The lowest-numbered photo of every person is enrolled in a folder and in milvus-lite (with --url in a new gallery of
that address). The other photos are searched in both. Then three people are renamed, three merged and three forgotten,
and all photos are searched again. Last, the gallery in Milvus is copied into a folder. Prints tables; times are
medians of rounds that take turns. With --cache the embeddings are stored in a file and read from it the next time.
"""

import argparse
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from lfw_verification import embed_center_faces

from onelook.gallery.backend import GalleryBackend
from onelook.gallery.backend_factory import create_backend, open_backend, write_gallery
from onelook.gallery.calibration import read_calibrated_metadata
from onelook.gallery.data import EnrolledFace
from onelook.gallery.enrollment import EnrollmentBatch
from onelook.gallery.gallery import Gallery
from onelook.gallery.identification import Identification
from onelook.gallery.location import Location, parse_location
from onelook.inference.loading import load_torch_predictor
from onelook.model.model_folder import RELEASED

TOLERANCE = 1e-6
ROUNDS, BATCH, SINGLES, CHANGED = 5, 256, 100, 3


def main() -> None:
    """Embed, enroll in both, search both, change both, search again, copy back."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/")
    parser.add_argument("--people", type=int, default=5749, help="how many of LFW's people, the first by name")
    parser.add_argument("--cache", type=Path, help="file that caches the embeddings")
    parser.add_argument("--url", help="address of a new gallery in Milvus; by default a temporary one")
    arguments = parser.parse_args()
    predictor = load_torch_predictor(RELEASED)
    photos, embeddings = embed_photos(arguments.data / "lfw" / "images", arguments.people, arguments.cache)
    names = [photo.parent.name for photo in photos]
    first = np.asarray([int(re.findall(r"\d+", photo.stem)[-1]) == 1 for photo in photos])
    rows = enrolled_faces([photos[i] for i in np.flatnonzero(first)], embeddings[first])
    probes = embeddings[~first]
    terms = read_calibrated_metadata(
        RELEASED / "calibration.json", predictor.fingerprint, predictor.embedding_size, managed=False
    )
    with tempfile.TemporaryDirectory() as scratch:
        address = parse_location(arguments.url or f"milvus:{scratch}/lfw.db")
        folder, milvus = (create_backend(each, terms) for each in (Path(scratch, "folder"), address))
        galleries = [Gallery(engine, predictor) for engine in (folder, milvus)]
        enrolled = [timed(lambda engine=engine: engine.add(rows, all_or_nothing=True)) for engine in (folder, milvus)]
        print(f"{len(set(names)):,} people enrolled with {first.sum():,} photos, {len(probes):,} probes\n")
        print("| | same name | same nearest person | similarity within 1e-6 | largest difference |")
        print("|---|---|---|---|---|")
        print(agreement("as enrolled", *(gallery.identify_embeddings(probes) for gallery in galleries)))
        times = [
            rounds(galleries, lambda gallery: gallery.identify_embeddings(probes[:BATCH])),
            [
                t / SINGLES
                for t in rounds(
                    galleries, lambda gallery: [gallery.identify_embeddings(p[None]) for p in probes[:SINGLES]]
                )
            ],
        ]
        changed = [timed(lambda engine=engine: change(engine, sorted(set(names)))) for engine in (folder, milvus)]
        print(agreement("after nine changes", *(gallery.identify_embeddings(probes) for gallery in galleries)))
        moved = Path(scratch, "moved")
        took = timed(lambda: copy(address, moved))
        before, after = folder.read_data(), open_backend(moved).read_data()
        assert before.faces == after.faces and before.metadata == after.metadata
        assert before.embeddings.tobytes() == after.embeddings.tobytes()
    print(f"\ncopied into a folder in {took:.1f} s: rows, quality measures, metadata and every bit of the embeddings\n")
    print(f"| {len(set(names)):,} people | folder | Milvus | ratio |\n|---|---|---|---|")
    for what, (one, other) in {
        f"{BATCH} faces in one search, ms": times[0],
        "one face, ms": times[1],
        "enrolling all people, ms": enrolled,
        "a change, ms": [each / (3 * CHANGED) for each in changed],
    }.items():
        print(f"| {what} | {one * 1e3:.1f} | {other * 1e3:.1f} | {other / one:.1f} |")


def embed_photos(root: Path, people: int, kept: Path | None) -> tuple[list[Path], np.ndarray]:
    """Return the photos of the first people in which a face was found.

    And its embeddings (n, d) float32.
    """
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir())[:people]
    photos = [photo for folder in folders for photo in sorted(folder.glob("*.jpg"))]
    if kept is not None and kept.is_file():
        embeddings = np.load(kept, allow_pickle=False)[: len(photos)]
    else:
        embeddings = embed_center_faces(load_torch_predictor(RELEASED), photos)[2]
        if kept is not None:
            np.save(kept, embeddings)
    found = np.isfinite(embeddings[:, 0])
    return [photo for photo, cache in zip(photos, found, strict=True) if cache], embeddings[found]


def enrolled_faces(photos: list[Path], embeddings: np.ndarray) -> EnrollmentBatch:
    """Return faces to enroll.

    A photo's number stands for its digest, as the bytes do not matter here.
    """
    entries = tuple(
        EnrolledFace(person=photo.parent.name, photo=photo.name, sha256=f"{number:064x}")
        for number, photo in enumerate(photos)
    )
    return EnrollmentBatch(entries, embeddings)


def agreement(what: str, one: list[Identification], other: list[Identification]) -> str:
    """Return one line of the table."""
    assert len(one) == len(other)
    apart = np.asarray([abs((a.similarity or 0) - (b.similarity or 0)) for a, b in zip(one, other, strict=True)])
    cells = [
        sum(a.name == b.name for a, b in zip(one, other, strict=True)),
        sum(a.nearest == b.nearest for a, b in zip(one, other, strict=True)),
        int((apart <= TOLERANCE).sum()),
    ]
    return f"| {what} | {' | '.join(f'{cell:,} of {len(one):,}' for cell in cells)} | {apart.max():.1e} |"


def change(engine: GalleryBackend, names: list[str]) -> None:
    """Rename, merge and forget some people."""
    for i in range(CHANGED):
        engine.rename(names[5 * i], f'{names[5 * i]} "renamed"')
        engine.merge(names[5 * i + 1], names[5 * i + 2])
        engine.forget(names[5 * i + 3])


def copy(source: Location, target: Location) -> None:
    """Copy a gallery as `onelook copy` does."""
    write_gallery(target, open_backend(source).read_data())


def rounds(galleries: list[Gallery], ask: Callable[[Gallery], object]) -> list[float]:
    """Return the median seconds of each gallery over rounds that take turns."""
    taken = [[timed(lambda gallery=gallery: ask(gallery)) for gallery in galleries] for _ in range(ROUNDS)]
    return [statistics.median(each) for each in zip(*taken, strict=True)]


def timed(work: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
