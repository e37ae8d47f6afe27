"""Turned versions of face crops, for distillation on large poses.

A turned crop keeps the name of the crop that it was made of, so that the teacher's embedding of that one can be its
target: recognizers are weaker on profiles.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from onelook.data.annotate import MIN_IOU, FaceDetector
from onelook.data.face_collection import check_journal, find_face, is_labels, is_text
from onelook.data.image_io import read_image, write_image
from onelook.data.manifest import Face
from onelook.data.readers.face_crops import COLUMNS, UNTURNED, FaceRow, read_face_list
from onelook.data.rng import Stream, make_rng
from onelook.data.synthesis.face_turning import TurnedFace
from onelook.data.synthesis.turn_sampling import TurnOptions, sample_turns
from onelook.errors import DataError
from onelook.files import make_private_folder, read_json_lines, resolve_inside, write_text
from onelook.geometry.boxes import pairwise_iou
from onelook.progress import track
from onelook.untrusted import one_line

_JOURNAL = "journal.jsonl"

MeshPredictor = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray | None]
"""Maps an RGB image, a box (4,) and landmarks (5, 2) to a mesh (468, 3), or None, as `MeshTeacher.predict`."""


def write_turned_faces(
    sources: Sequence[Path], target: Path, predict_mesh: MeshPredictor, detect_faces: FaceDetector, options: TurnOptions
) -> int:
    """Write a set of turned faces, or what is left of it, in the layout of `extra_faces`.

    - The column `unturned` of its `faces.csv` names set and file of the crop that a face was made of.
    - Box and landmarks are the detector's where it finds the turned face, since a mesh has hidden points elsewhere.
      Else they are the mesh's.
    - A face without a mesh is dropped.

    Args:
        sources: sets of face crops, directories with `images/` and `faces.csv`.
        target: directory of the set.
        predict_mesh: predicts the mesh of a face.
        detect_faces: the detector.
        options: number and range of the poses.

    Returns:
        Number of turned faces.

    Raises:
        DataError: `faces.csv` or an image of a source is missing or damaged, or the set was begun with other options
            or has a damaged journal.
    """
    crops = [(source, row) for source in sources for row in _read_set(source)]
    make_private_folder(target)
    make_private_folder(target / "images")
    header, *entries = read_json_lines(target / _JOURNAL) or [asdict(options)]
    if header != asdict(options):
        begun = one_line(ValueError(header))
        raise DataError(f"{target}: begun with {begun}; continue with the same options, or name another folder")
    check_journal(target / _JOURNAL, [True, *map(_is_entry, entries)])
    finished = {entry[UNTURNED] for entry in entries}
    remaining = [(source, row) for source, row in crops if f"{source.name}/{row.file}" not in finished]
    with (target / _JOURNAL).open("a", encoding="utf-8") as journal:
        if not entries and journal.tell() == 0:
            journal.write(json.dumps(header) + "\n")
        for source, row in track(remaining, "turning faces"):
            key = f"{source.name}/{row.file}"
            faces = _write_turns(source, row, key, target / "images", predict_mesh, detect_faces, options)
            entries.append({UNTURNED: key, "faces": faces})
            journal.write(json.dumps(entries[-1]) + "\n")
            journal.flush()
    return _write_faces(target / "faces.csv", entries)


def _is_entry(entry: dict[str, Any]) -> bool:
    """Return whether a line of the journal has the crop and the turned faces, each a file and its labels."""
    faces = entry.get("faces")
    if not is_text(entry.get(UNTURNED)) or not isinstance(faces, list):
        return False
    return all(isinstance(face, list) and face and is_text(face[0]) and is_labels(face[1:]) for face in faces)


def _read_set(folder: Path) -> Iterator[FaceRow]:
    path = folder / "faces.csv"
    if not path.is_file():
        raise DataError(f"{path}: no such file; name sets of faces, as `onelook collect-faces` writes them")
    for row in read_face_list(path):
        if row.unturned:
            raise DataError(f"{folder}: its faces are turned already; name the sets that they were made of")
        yield row


def _write_turns(
    source: Path,
    row: FaceRow,
    key: str,
    images: Path,
    predict_mesh: MeshPredictor,
    detect_faces: FaceDetector,
    options: TurnOptions,
) -> list[list[Any]]:
    """Write the turned versions of a crop, and return the file and the labels of each."""
    image = read_image(resolve_inside(source / "images", row.file))
    vertices = predict_mesh(image, row.face.box, row.face.landmarks)
    if vertices is None:
        return []
    faces = []
    # Poses depend on the name of the crop alone, so that further sets do not change them.
    rng = make_rng(options.seed, Stream.TURNS, crc32(key.encode()))
    for number, turned in enumerate(sample_turns(image, vertices, options, rng)):
        name = f"{key}_{number}.jpg"
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(images / name, turned.image)
        face = _label(turned, detect_faces)
        values = np.concatenate([face.box, face.landmarks.ravel()])
        faces.append([name, *(round(float(value), 2) for value in values)])
    return faces


def _label(turned: TurnedFace, detect_faces: FaceDetector) -> Face:
    """Return the detected face if it is the turned one, else that of the mesh."""
    face = find_face(turned.image, detect_faces)
    if face is None or pairwise_iou(turned.box[None], face.box[None])[0, 0] < MIN_IOU:
        return Face(turned.box, turned.landmarks)
    return face


def _write_faces(path: Path, entries: Sequence[dict[str, Any]]) -> int:
    """Write `faces.csv`, and return the number of its faces."""
    rows = sorted([*face, entry[UNTURNED]] for entry in entries for face in entry["faces"])
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow([*COLUMNS, UNTURNED])
    writer.writerows(rows)
    write_text(path, table.getvalue())
    return len(rows)
