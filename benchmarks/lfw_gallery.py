"""A gallery of everybody in LFW: 5,749 people enrolled with a photo each, all other photos looked up, end to end.

    python benchmarks/lfw_gallery.py --data ../shared/data [--model build/model]

Each person's lowest-numbered photo enrolls, and the person is the face nearest its middle, as the data set says (the
command `enroll-all` refuses photos with two faces; how many is said). Every other photo is identified in passes of
eight; the first of them again, in turns with one by one, timed from the file to the name. A face is also a stranger to
the gallery without its person, for FPIR. Photos of `peopleDevTest.txt` show people whom the network was not trained on,
and are the result; those of `peopleDevTrain.txt` stand beside them to be seen, not to be believed: the network was
trained on them.
Prints Markdown tables; intervals are of 95 %, over the people looked up.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from lfw_verification import MIDDLE
from rich.console import Console
from rich.progress import Progress

from onelook.data.image_io import read_image
from onelook.data.readers.lfw import read_lfw
from onelook.evaluation.bootstrap import with_intervals
from onelook.evaluation.identification import (
    Trials,
    detection_and_identification,
    dir_at_fpir,
    false_positive_identification,
    rank1,
    run_trials,
)
from onelook.files import sha256
from onelook.gallery import storage
from onelook.gallery.calibration import calibrated_metadata
from onelook.gallery.data import Entry, GalleryData
from onelook.gallery.enrollment import PASS
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery
from onelook.gallery.identification import IdentifiedFace
from onelook.inference.loading import load_torch_predictor
from onelook.model.model_folder import RELEASED
from onelook.settings import LfwSettings

TIMED, ROUNDS = 200, 5  # photos, turns of each way
RESAMPLES, SEED = 300, 2026
TARGETS = (0.01, 0.1)


def main() -> None:
    """Enroll, identify, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    arguments = parser.parse_args()
    reading = read_lfw(LfwSettings(path=str(arguments.data / "lfw")))
    photos = sorted(portrait.path for portrait in reading.portraits)
    first = list({path.parent.name: path for path in reversed(photos)}.values())[::-1]
    others = sorted(set(photos) - set(first))
    with tempfile.TemporaryDirectory() as folder:
        gallery, alone = enroll(Path(folder) / "gallery", first, arguments.model)
        print(f"{len(gallery.people())} of {len(first)} people enrolled; {alone} of the photos show one face alone\n")
        faces = identify(gallery, others)
        together, single = paces(gallery, others[:TIMED])
        contents = storage.read(Path(folder) / "gallery")
    print(f"| | photos/s | ratio |\n|---|---|---|\n| one by one | {single:.1f} | 1 |")
    print(f"| in passes of {PASS} | {together:.1f} | {together / single:.2f} |\n")
    official = reading.official or {}
    print("| people looked up | photos | named right | named wrong | unknown | no face |")
    print("|---|---|---|---|---|---|")
    groups = {"test": "in no training", "train": "trained on"}
    rows = {split: [i for i, path in enumerate(others) if official[path.parent.name] == split] for split in groups}
    for split, told in groups.items():
        print(f"| {told} | {tally([faces[i] for i in rows[split]], [others[i] for i in rows[split]])} |")
    print(
        "\n| people looked up | rank-1 | promised FPIR | threshold | measured FPIR | DIR at it | DIR at the true FPIR |"
    )
    print("|---|---|---|---|---|---|---|")
    for split, told in groups.items():
        trials = compare(contents, [faces[i] for i in rows[split]], [others[i] for i in rows[split]])
        for target in TARGETS:
            print(f"| {told} | {told_figures(trials, gallery, target)} |")


def enroll(folder: Path, photos: Sequence[Path], model: Path) -> tuple[Gallery, int]:
    """A gallery of the faces nearest the middle, and how many photos show that face alone."""
    looker = load_torch_predictor(model)
    terms = calibrated_metadata(model / "calibration.json", looker.fingerprint, looker.embedding_size, managed=False)
    entries, embeddings, alone = [], [], 0
    with Progress(transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task("enrolling", total=len(photos))
        for some in passes(photos):
            for path, found in zip(
                some, looker.predict([read_image(path) for path in some], terms.detect), strict=True
            ):
                alone += len(found) == 1
                if len(found):
                    entries.append(Entry(person=path.parent.name, photo=path.name, sha256=sha256(path)))
                    embeddings.append(found.embeddings[nearest_middle(found.boxes)])
            progress.advance(task, len(some))
    storage.change(folder, lambda kept: kept.adding(tuple(entries), np.array(embeddings)), start=terms)
    return Gallery(FaissBackend(folder, storage.read(folder)), looker), alone


def identify(gallery: Gallery, photos: Sequence[Path]) -> list[IdentifiedFace | None]:
    """The face nearest the middle of each photo, None without a face."""
    people: list[IdentifiedFace | None] = []
    with Progress(transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task("identifying", total=len(photos))
        for some in passes(photos):
            for faces in gallery.identify_all([read_image(path) for path in some]):
                boxes = np.array([face.box for face in faces])
                people.append(faces[nearest_middle(boxes)] if faces else None)
            progress.advance(task, len(some))
    return people


def paces(gallery: Gallery, photos: Sequence[Path]) -> tuple[float, float]:
    """Photos a second, in passes and one by one: medians of turns."""
    turns = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for some in passes(photos):
            gallery.identify_all([read_image(path) for path in some])
        middle = time.perf_counter()
        for path in photos:
            gallery.identify(path)
        turns.append((len(photos) / (middle - start), len(photos) / (time.perf_counter() - middle)))
    together, single = (statistics.median(each) for each in zip(*turns, strict=True))
    return together, single


def passes(photos: Sequence[Path]) -> list[Sequence[Path]]:
    """The photos in the numbers that are looked at together."""
    return [photos[start : start + PASS] for start in range(0, len(photos), PASS)]


def nearest_middle(boxes: np.ndarray) -> int:
    """Which box (n, 4) is nearest the middle of an LFW photo."""
    centers = boxes.reshape(-1, 2, 2).mean(axis=1)
    return int(np.argmin(np.linalg.norm(centers - MIDDLE, axis=1)))


def tally(faces: Sequence[IdentifiedFace | None], photos: Sequence[Path]) -> str:
    """Cells of a table: what the gallery answered at its own threshold."""
    named = [face.name for face in faces if face is not None]
    owners = [path.parent.name for face, path in zip(faces, photos, strict=True) if face is not None]
    right = sum(name == owner for name, owner in zip(named, owners, strict=True))
    unknown = named.count(None)
    cells = [right, len(named) - right - unknown, unknown, len(faces) - len(named)]
    return " | ".join([str(len(faces)), *(f"{cell} ({cell / len(faces):.1%})" for cell in cells)])


def compare(contents: GalleryData, faces: Sequence[IdentifiedFace | None], photos: Sequence[Path]) -> Trials:
    """Every photo tried against everyone, and against everyone but its own person."""
    column = {entry.person: place for place, entry in enumerate(contents.entries)}
    # Whoever's enrolling photo showed no face has a column of nothing: a miss wherever it is looked up.
    missing = sorted({path.parent.name for path in photos} - column.keys())
    column |= {name: len(contents.entries) + place for place, name in enumerate(missing)}
    similarities = np.full((len(photos), len(column)), -np.inf, np.float32)
    for row, face in enumerate(faces):
        if face is not None:
            similarities[row, : len(contents.entries)] = contents.embeddings @ face.embedding
    owners = np.array([column[path.parent.name] for path in photos], np.int64)
    return run_trials(similarities, owners, np.unique(owners, return_inverse=True)[1], np.ones(len(photos)))


def told_figures(trials: Trials, gallery: Gallery, target: float) -> str:
    """Cells of a table, with intervals over the people."""
    unknown = gallery.terms.unknown
    assert unknown is not None
    threshold = unknown.threshold(target, len(gallery.people()))

    def figures(weights: np.ndarray) -> dict[str, float]:
        return {
            "rank1": rank1(trials, weights),
            "fpir": false_positive_identification(trials, threshold, weights),
            "dir": detection_and_identification(trials, threshold, weights),
            "best": dir_at_fpir(trials, target, weights),
        }

    known = with_intervals(figures, (1 + int(trials.units.max()),), RESAMPLES, SEED)
    rank, *rest = (
        f"{known[k]:.4f} [{known[k + '_low']:.4f}, {known[k + '_high']:.4f}]" for k in ("rank1", "fpir", "dir", "best")
    )
    return " | ".join([rank, f"{target:.0%}", f"{threshold:.4f}", *rest])


if __name__ == "__main__":
    main()
