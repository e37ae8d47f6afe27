"""Collection of training faces: folders of photographs become sets of `prepare.extra_faces`.

A set is a directory with `images/` and `faces.csv` (`readers/face_crops.py`). A photo gives one crop, of its most
prominent face. Faces of people in evaluation photos are left out. `journal.jsonl` has a line per
photo, from which an interrupted collection continues, and `counts.json` beside the sets has the numbers for a model
card.
"""

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from onelook.data.annotate import FaceDetector, most_prominent
from onelook.data.face_crops import cut_face
from onelook.data.image_io import read_image, write_image
from onelook.data.label_arrays import FaceEmbedder
from onelook.data.manifest import Face
from onelook.data.readers.face_crops import COLUMNS, SOURCE
from onelook.errors import DataError, PhotoError
from onelook.files import make_private_folder, read_json_lines, write_json, write_text
from onelook.progress import track
from onelook.untrusted import parse_json_object, read_limited

CROP_SIZE = 192
"""Side of a crop, in pixels."""
MAX_SIMILARITY = 0.4
"""Largest cosine similarity of a training face to any face of the evaluation photos."""
COUNTS = "counts.json"

_OUTCOMES = ("taken", "excluded", "small", "no_face", "damaged")
_MIN_SIZE = 20.0
_MIN_SCORE = 0.5
# The detector gets a view in which a face that fills the photo has surroundings and a usual size.
_VIEW_SIZE = 288
_BORDER_FRACTION = 0.2
_JOURNAL = "journal.jsonl"


@dataclass(frozen=True)
class FaceSource:
    """A folder of photographs.

    Attributes:
        name: of the set.
        folder: that holds the photos.
        pattern: glob pattern of the photos below the folder.
        terms: of their use, for the model card.
    """

    name: str
    folder: Path
    pattern: str
    terms: str


def collect_faces(
    source: FaceSource, out: Path, detect_faces: FaceDetector, embed_faces: FaceEmbedder, excluded: np.ndarray
) -> dict[str, int]:
    """Write the set of a source, or what is left of it, and its counts.

    Args:
        source: photos to collect from.
        out: folder of the sets.
        detect_faces: the detector.
        embed_faces: the recognizer that compares faces with those of the evaluation photos.
        excluded: (n, d) float32, L2-normalized embeddings of the evaluation photos.

    Returns:
        The number of photos by outcome: `taken`, `excluded` (too similar to an evaluation photo), `small`, `no_face`
        and `damaged`.

    Raises:
        DataError: no photo fits the pattern, or the journal is damaged.
        OnelookError: the folder cannot be written.
    """
    photos = sorted(path for path in source.folder.glob(source.pattern) if path.is_file())
    if not photos:
        raise DataError(f"{source.folder}: no file fits {source.pattern!r}; correct the folder or the pattern")
    folder = out / source.name
    make_private_folder(folder)
    make_private_folder(folder / "images")
    rows = read_json_lines(folder / _JOURNAL)
    check_journal(folder / _JOURNAL, map(_is_row, rows))
    collected = {row["file"] for row in rows}
    remaining = [(number, path) for number, path in enumerate(photos) if _relative_name(source, path) not in collected]
    with (folder / _JOURNAL).open("a", encoding="utf-8") as journal:
        for number, path in track(remaining, f"collecting {source.name}"):
            crop = folder / "images" / f"{number:06d}.jpg"
            row = {"file": _relative_name(source, path), **_collect(path, crop, detect_faces, embed_faces, excluded)}
            journal.write(json.dumps(row) + "\n")
            journal.flush()
            rows.append(row)
    _write_faces(folder / "faces.csv", rows)
    outcomes = Counter(row["outcome"] for row in rows)
    counts = {outcome: outcomes[outcome] for outcome in _OUTCOMES}
    entry = {"pattern": source.pattern, "terms": source.terms, "photos": len(rows), **counts}
    all_counts = _read_counts(out / COUNTS)
    write_json(out / COUNTS, all_counts | {source.name: entry})
    return counts


def check_journal(path: Path, sound: Iterable[bool]) -> None:
    """Check that each line of a journal is sound.

    Raises:
        DataError: a line is not.
    """
    for number, is_sound in enumerate(sound, 1):
        if not is_sound:
            raise DataError(f"{path}: line {number} is damaged; delete the file to begin anew")


def is_text(value: Any) -> bool:
    """Return whether a value of a journal is a text that a table in UTF-8 can hold."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def is_labels(value: Any) -> bool:
    """Return whether a value of a journal is the labels of a face: a number for each column but the file."""
    is_row = isinstance(value, list) and len(value) == len(COLUMNS) - 1
    return is_row and all(isinstance(number, int | float) for number in value)


def _is_row(row: dict[str, Any]) -> bool:
    is_known = is_text(row.get("file")) and row.get("outcome") in _OUTCOMES
    return is_known and (row["outcome"] != "taken" or (is_text(row.get("crop")) and is_labels(row.get("labels"))))


def _read_counts(path: Path) -> dict[str, Any]:
    try:
        return parse_json_object(read_limited(path)) if path.exists() else {}
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error}); delete it, and the counts begin anew") from error


def embed_photos(photos: Sequence[Path], detect_faces: FaceDetector, embed_faces: FaceEmbedder) -> np.ndarray:
    """Embed the most prominent face of each photo that shows one.

    Returns:
        (n, d) float32, L2-normalized.

    Raises:
        DataError: no photo shows a face.
        PhotoError: a photo cannot be read.
    """
    rows = []
    for path in track(photos, "embedding the evaluation photos"):
        image = read_image(path)
        face = find_face(image, detect_faces)
        if face is not None:
            rows.append(embed_faces([image], face.landmarks[None])[0])
    if not rows:
        raise DataError("the evaluation photos show no face; name the folders of photos to keep out")
    return np.stack(rows)


def find_face(image: np.ndarray, detect_faces: FaceDetector) -> Face | None:
    """Find the most prominent face of an image (H, W, 3) uint8 of any size; None without a face."""
    height, width = image.shape[:2]
    border = round(_BORDER_FRACTION * max(height, width))
    scale = _VIEW_SIZE / (max(height, width) + 2 * border)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    edge = round(border * scale)
    view = cv2.copyMakeBorder(small, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=(127, 127, 127))
    detected = detect_faces(view).above(_MIN_SCORE)
    factors = np.array([width, height]) / size
    boxes = ((detected.boxes.reshape(-1, 2, 2) - edge) * factors).reshape(-1, 4).astype(np.float32)
    landmarks = ((detected.landmarks - edge) * factors).astype(np.float32)
    index = most_prominent(boxes, width, height)
    return None if index is None else Face(boxes[index], landmarks[index])


def _collect(
    path: Path, crop_path: Path, detect_faces: FaceDetector, embed_faces: FaceEmbedder, excluded: np.ndarray
) -> dict[str, Any]:
    """Write the crop of a photo, and return the outcome, with the crop's file and labels where one is taken."""
    try:
        image = read_image(path)
    except PhotoError:
        return {"outcome": "damaged"}
    face = find_face(image, detect_faces)
    if face is None:
        return {"outcome": "no_face"}
    if face.size < _MIN_SIZE:
        return {"outcome": "small"}
    embedding = embed_faces([image], face.landmarks[None])[0]
    if len(excluded) and float((excluded @ embedding).max()) > MAX_SIMILARITY:
        return {"outcome": "excluded"}
    crop, moved = cut_face(image, face, CROP_SIZE)
    write_image(crop_path, crop)
    labels = np.concatenate([moved.box, moved.landmarks.ravel()])
    return {"outcome": "taken", "crop": crop_path.name, "labels": [round(float(value), 2) for value in labels]}


def _relative_name(source: FaceSource, path: Path) -> str:
    """Return the path of a photo below its folder; bytes that are not UTF-8 are escaped, as tables cannot hold them."""
    return os.fsencode(path.relative_to(source.folder).as_posix()).decode(errors="backslashreplace")


def _write_faces(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow([*COLUMNS, SOURCE])
    writer.writerows(_face_rows(rows))
    write_text(path, table.getvalue())


def _face_rows(rows: Sequence[dict[str, Any]]) -> Iterator[list[Any]]:
    for row in sorted((row for row in rows if row["outcome"] == "taken"), key=lambda row: row["crop"]):
        yield [row["crop"], *row["labels"], row["file"]]
