"""Rows of `recognition.py` from pairs of photos: CFP, LFW with small faces, and the table of face sizes."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from face_scaling import MEDIAN_SIZES, single_factors
from pair_metrics import (
    Metric,
    Pairs,
    accepted_impostors,
    assign_ten_folds,
    impostor_matrix,
    impostor_threshold,
    measure_given,
    score_given,
)
from recognition_report import Cell, Table
from recognition_systems import FaceSet, Photo, Systems, require

from onelook.data.readers.lfw import photo_path, read_pairs

FAR = 0.01
NATIVE = "native"
SMALL = (32, 20)
"""Face sizes of the LFW rows beside the native one, in pixels."""
NATIVE_TOLERANCE = 0.05
"""Relative difference from the native size below which a size has no column of its own."""
SIZE_PAIRS = 400
"""Most pairs of the size table: its photos of the largest faces have five megapixels."""
CFP, LFW, LFW_PAIRS = "cfp_folds_1_2", "lfw", "pairsDevTest.txt"
T = TypeVar("T")
KINDS = {"FF": "frontal–frontal", "FP": "frontal–profile"}


def measure_cfp(systems: Systems, data: Path, limit: int | None) -> list[Table]:
    """Measure the two folds of CFP end to end."""
    root = require(data / CFP)
    rows: list[dict[str, Cell]] = []
    for kind, description in KINDS.items():
        photos, pairs = read_cfp_pairs(root, kind, limit)
        faces = systems.embed(photos, f"CFP {kind}")
        rows += [{"pairs": description, **row} for row in verification_rows(faces, pairs)]
    notes = (
        "Accuracy of each fold at the best threshold of the other; TAR over the pairs of both folds.",
        "A pair with a face that was not found is wrong, and rejected.",
    )
    return [Table("cfp", "CFP, folds 1 and 2", rows, notes)]


def measure_lfw(systems: Systems, data: Path, limit: int | None) -> list[Table]:
    """Measure LFW's development test pairs as they are and with small faces."""
    paths, pairs = read_lfw_pairs(require(data / LFW), limit)
    native = systems.embed([Photo(path) for path in paths], "LFW")
    rows: list[dict[str, Cell]] = [{"face": NATIVE, **row} for row in verification_rows(native, pairs)]
    for size in SMALL:
        factors = single_factors(native.sizes(), size).tolist()
        for native_points, title in ((False, f"{size} px"), (True, f"{size} px, native points")):
            photos = [Photo(path, factor, native_points) for path, factor in zip(paths, factors, strict=True)]
            faces = systems.embed(photos, f"LFW, {title}")
            rows += [{"face": title, **row} for row in verification_rows(faces, pairs)]
    notes = (
        "Accuracy in ten folds. The native face is the median of "
        f"{np.nanmedian(native.sizes()):.0f} px, the square root of the area of SCRFD's box.",
        "For the other rows each photo is shrunk so that its face has this size, before every system gets it. "
        "*Native points*: those detected in the photo as it is, so that these rows measure the embedding alone.",
    )
    return [Table("lfw", f"LFW, {LFW_PAIRS}", rows, notes)]


def measure_sizes(systems: Systems, data: Path, limit: int | None) -> list[Table]:
    """Measure LFW's pairs with all photos resized by one factor, for each median face size."""
    paths, pairs = read_lfw_pairs(require(data / LFW), min(limit or SIZE_PAIRS, SIZE_PAIRS))
    people = np.zeros(len(paths), np.int64)
    people[pairs.photos] = pairs.people
    native = systems.embed([Photo(path) for path in paths], "LFW")
    thresholds = {name: impostor_threshold(native.embeddings[name], people, FAR) for name in systems.names}
    median = float(np.nanmedian(native.sizes()))
    sets: dict[float, FaceSet] = {median: native}
    for size in (size for size in MEDIAN_SIZES if abs(size / median - 1) > NATIVE_TOLERANCE):
        photos = [Photo(path, size / median) for path in paths]
        sets[size] = systems.embed(photos, f"LFW at a median of {size} px")
    accuracy: dict[str, dict[str, Cell]] = {name: {"system": name} for name in systems.names}
    accepted: dict[str, dict[str, Cell]] = {name: {"system": name} for name in systems.names}
    rejected: dict[str, dict[str, Cell]] = {name: {"system": name} for name in systems.names}
    for pixels, faces in sorted(sets.items()):
        column = f"{pixels:.0f} ({NATIVE})" if pixels == median else str(pixels)
        for name in systems.names:
            embeddings = faces.embeddings[name]
            scores = score_given(embeddings, pairs)
            accuracy[name][column] = measure_given(scores, pairs)["accuracy"]
            accepted[name][column] = accepted_impostors(*impostor_matrix(embeddings, people), people, thresholds[name])
            rejected[name][column] = float(1 - (scores[pairs.same] >= thresholds[name]).mean())
    columns = f"{len(pairs.same)} pairs, {len(paths)} photos. Columns: median face size in pixels."
    threshold = "Threshold of a system: 1 % of all pairs of native photos of different people reach it."
    return [
        Table(
            "size_accuracy",
            "Accuracy: LFW's pairs by face size",
            list(accuracy.values()),
            (columns, "Accuracy in ten folds of the photos of that size."),
            has_intervals=False,
        ),
        Table(
            "size_false_accepts",
            "False accepts: all impostor pairs by face size",
            list(accepted.values()),
            (threshold,),
            has_intervals=False,
        ),
        Table(
            "size_rejected",
            "Genuine pairs rejected at the same threshold by face size",
            list(rejected.values()),
            has_intervals=False,
        ),
    ]


def verification_rows(faces: FaceSet, pairs: Pairs) -> list[dict[str, Cell]]:
    """Return a row of metrics for each system."""
    rows: list[dict[str, Cell]] = []
    for name, embeddings in faces.embeddings.items():
        metrics: dict[str, Metric] = measure_given(score_given(embeddings, pairs), pairs)
        missing = int((~np.isfinite(embeddings[:, 0])).sum())
        rows.append({"system": name, **metrics, "not found": f"{missing} of {len(embeddings)}"})
    return rows


def read_cfp_pairs(root: Path, kind: str, limit: int | None) -> tuple[list[Photo], Pairs]:
    """Read the photos and pairs of a list of CFP."""
    with require(root / f"pairs_{kind}.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    lines = spread(lines, limit)
    names = [(line["first"], line["second"]) for line in lines]
    same = np.array([line["same"] == "1" for line in lines])
    photos, pairs = index_pairs(names, same, np.array([int(line["fold"]) for line in lines]))
    return [Photo(root / "images" / name) for name in photos], pairs


def read_lfw_pairs(root: Path, limit: int | None) -> tuple[list[Path], Pairs]:
    """Read the photos and pairs of LFW's development test."""
    lines = spread(read_pairs(root / LFW_PAIRS), limit)
    names = [tuple(f"{person}/{number}" for person, number in line[:2]) for line in lines]
    same = np.array([line[2] for line in lines])
    photos, pairs = index_pairs(names, same, assign_ten_folds(same))
    return [photo_path(root, name.split("/")[0], int(name.split("/")[1])) for name in photos], pairs


def index_pairs(names: Sequence[Sequence[str]], same: np.ndarray, folds: np.ndarray) -> tuple[list[str], Pairs]:
    """Return the sorted photos and the pairs of their rows; a photo's name begins with its person and a slash."""
    photos = sorted({name for pair in names for name in pair})
    rows = {name: row for row, name in enumerate(photos)}
    places = np.array([[rows[name] for name in pair] for pair in names], np.int64)
    people = np.unique([name.split("/")[0] for name in photos], return_inverse=True)[1]
    return photos, Pairs(places, same, folds, people[places])


def spread(items: Sequence[T], limit: int | None) -> list[T]:
    """Return at most `limit` items, evenly over their order; all without a limit."""
    if limit is None or len(items) <= limit:
        return list(items)
    return [items[index * len(items) // limit] for index in range(limit)]
