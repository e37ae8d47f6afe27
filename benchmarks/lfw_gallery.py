"""Identify in a gallery of everybody in LFW.

5,749 people, one photo each, end to end.

    python benchmarks/lfw_gallery.py --data ../shared/data [--model build/model] [--device cuda]

Each person's lowest-numbered photo enrolls; the person is the face nearest its center, as the dataset says. The
command `enroll-all` refuses photos with two faces; their number is printed. Every other photo is identified in
batches. The first of them are identified again, batched and one by one in turns, timed from the file to the
name. For FPIR a face is also a non-mated probe of the gallery without its person. Photos of `peopleDevTest.txt` show
people that the network was not trained on: they are the result. Those of `peopleDevTrain.txt` stand beside them for
comparison only, as the network was trained on them. Prints Markdown tables; intervals are of 95 %, over the people
looked up.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from device_option import add_device_option, load_predictor
from lfw_verification import CENTER
from rich.console import Console
from rich.progress import Progress

from onelook.data.image_io import read_image
from onelook.data.readers.lfw import read_lfw
from onelook.evaluation.bootstrap import bootstrap_intervals
from onelook.evaluation.identification import (
    Trials,
    dir_at_fpir,
    dir_at_threshold,
    fpir_at_threshold,
    rank1,
    run_trials,
)
from onelook.files import sha256
from onelook.gallery import storage
from onelook.gallery.calibration import read_calibrated_metadata
from onelook.gallery.data import EnrolledFace, GalleryData
from onelook.gallery.enrollment import batch_size
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery
from onelook.gallery.identification import IdentifiedFace
from onelook.model.model_folder import RELEASED
from onelook.settings import LfwSettings

TIMED, ROUNDS = 200, 5  # photos, turns of each way
RESAMPLES, SEED = 300, 2026
TARGETS = (0.01, 0.1)


def main() -> None:
    """Enroll, identify, count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    add_device_option(parser)
    arguments = parser.parse_args()
    reading = read_lfw(LfwSettings(path=str(arguments.data / "lfw")))
    photos = sorted(portrait.path for portrait in reading.images)
    first = list({path.parent.name: path for path in reversed(photos)}.values())[::-1]
    others = sorted(set(photos) - set(first))
    with tempfile.TemporaryDirectory() as folder:
        gallery, alone = enroll(Path(folder) / "gallery", first, arguments.model, arguments.device)
        print(f"{len(gallery.people())} of {len(first)} people enrolled; {alone} of the photos show one face alone\n")
        faces = identify(gallery, others)
        together, single = paces(gallery, others[:TIMED])
        contents = storage.read(Path(folder) / "gallery")
    print(f"| | photos/s | ratio |\n|---|---|---|\n| one by one | {single:.1f} | 1 |")
    print(f"| in batches of {gallery.batch_size} | {together:.1f} | {together / single:.2f} |\n")
    official = reading.official_splits or {}
    print("| probe people | photos | named right | named wrong | unknown | no face |")
    print("|---|---|---|---|---|---|")
    groups = {"test": "in no training", "train": "trained on"}
    rows = {split: [i for i, path in enumerate(others) if official[path.parent.name] == split] for split in groups}
    for split, told in groups.items():
        print(f"| {told} | {tally([faces[i] for i in rows[split]], [others[i] for i in rows[split]])} |")
    print(
        "\n| probe people | rank-1 | requested FPIR | threshold | measured FPIR | DIR at the threshold "
        "| DIR at the requested FPIR |"
    )
    print("|---|---|---|---|---|---|---|")
    for split, told in groups.items():
        trials = compare(contents, [faces[i] for i in rows[split]], [others[i] for i in rows[split]])
        for target in TARGETS:
            print(f"| {told} | {format_metrics(trials, gallery, target)} |")


def enroll(folder: Path, photos: Sequence[Path], model: Path, device: str) -> tuple[Gallery, int]:
    """Return a gallery of the center faces.

    And the number of photos that show that face alone.
    """
    predictor = load_predictor(model, device)
    terms = read_calibrated_metadata(
        model / "calibration.json", predictor.fingerprint, predictor.embedding_size, managed=False
    )
    entries, embeddings, alone = [], [], 0
    with Progress(transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task("enrolling", total=len(photos))
        for some in passes(photos, batch_size(predictor)):
            for path, found in zip(
                some, predictor.predict([read_image(path) for path in some], terms.detect), strict=True
            ):
                alone += len(found) == 1
                if len(found):
                    entries.append(EnrolledFace(person=path.parent.name, photo=path.name, sha256=sha256(path)))
                    embeddings.append(found.embeddings[nearest_to_center(found.boxes)])
            progress.advance(task, len(some))
    storage.update(folder, lambda kept: kept.add(tuple(entries), np.array(embeddings)), initial=terms)
    return Gallery(FaissBackend(folder), predictor), alone


def identify(gallery: Gallery, photos: Sequence[Path]) -> list[IdentifiedFace | None]:
    """Return the face nearest the center of each photo, None without a face."""
    people: list[IdentifiedFace | None] = []
    with Progress(transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task("identifying", total=len(photos))
        for some in passes(photos, gallery.batch_size):
            for faces in gallery.identify_all([read_image(path) for path in some]):
                boxes = np.array([face.box for face in faces])
                people.append(faces[nearest_to_center(boxes)] if faces else None)
            progress.advance(task, len(some))
    return people


def paces(gallery: Gallery, photos: Sequence[Path]) -> tuple[float, float]:
    """Return photos per second, batched and one by one: medians of turns."""
    turns = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for some in passes(photos, gallery.batch_size):
            gallery.identify_all([read_image(path) for path in some])
        middle = time.perf_counter()
        for path in photos:
            gallery.identify(path)
        turns.append((len(photos) / (middle - start), len(photos) / (time.perf_counter() - middle)))
    together, single = (statistics.median(each) for each in zip(*turns, strict=True))
    return together, single


def passes(photos: Sequence[Path], size: int) -> list[Sequence[Path]]:
    """Return the photos in batches of `size`."""
    return [photos[start : start + size] for start in range(0, len(photos), size)]


def nearest_to_center(boxes: np.ndarray) -> int:
    """Return the index of the box (n, 4) nearest the center of an LFW photo."""
    centers = boxes.reshape(-1, 2, 2).mean(axis=1)
    return int(np.argmin(np.linalg.norm(centers - CENTER, axis=1)))


def tally(faces: Sequence[IdentifiedFace | None], photos: Sequence[Path]) -> str:
    """Return the table cells of the gallery's answers at its own threshold."""
    named = [face.name for face in faces if face is not None]
    owners = [path.parent.name for face, path in zip(faces, photos, strict=True) if face is not None]
    right = sum(name == owner for name, owner in zip(named, owners, strict=True))
    unknown = named.count(None)
    cells = [right, len(named) - right - unknown, unknown, len(faces) - len(named)]
    return " | ".join([str(len(faces)), *(f"{cell} ({cell / len(faces):.1%})" for cell in cells)])


def compare(contents: GalleryData, faces: Sequence[IdentifiedFace | None], photos: Sequence[Path]) -> Trials:
    """Score every photo against everyone, and against everyone but its own person."""
    column = {entry.person: place for place, entry in enumerate(contents.faces)}
    # Whoever's enrolling photo showed no face has a column of nothing: a miss wherever it is looked up.
    missing = sorted({path.parent.name for path in photos} - column.keys())
    column |= {name: len(contents.faces) + place for place, name in enumerate(missing)}
    similarities = np.full((len(photos), len(column)), -np.inf, np.float32)
    for row, face in enumerate(faces):
        if face is not None:
            similarities[row, : len(contents.faces)] = contents.embeddings @ face.embedding
    owners = np.array([column[path.parent.name] for path in photos], np.int64)
    return run_trials(similarities, owners, np.unique(owners, return_inverse=True)[1], np.ones(len(photos)))


def format_metrics(trials: Trials, gallery: Gallery, target: float) -> str:
    """Return table cells with intervals over the people."""
    unknown = gallery.metadata.impostor_model
    assert unknown is not None
    threshold = unknown.threshold(target, len(gallery.people()))

    def metrics(weights: np.ndarray) -> dict[str, float]:
        return {
            "rank1": rank1(trials, weights),
            "fpir": fpir_at_threshold(trials, threshold, weights),
            "dir": dir_at_threshold(trials, threshold, weights),
            "best": dir_at_fpir(trials, target, weights),
        }

    known = bootstrap_intervals(metrics, (1 + int(trials.units.max()),), RESAMPLES, SEED)
    rank, *rest = (
        f"{known[k]:.4f} [{known[k + '_low']:.4f}, {known[k + '_high']:.4f}]" for k in ("rank1", "fpir", "dir", "best")
    )
    return " | ".join([rank, f"{target:.0%}", f"{threshold:.4f}", *rest])


if __name__ == "__main__":
    main()
