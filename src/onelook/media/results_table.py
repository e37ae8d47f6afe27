"""CSV table of the faces of a run, with totals."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from onelook.media.journal import Record
from onelook.names import escape_unprintable

_CORNERS = ("x1", "y1", "x2", "y2")
COLUMNS = (
    *("source", "frame", "time", "track", *_CORNERS, "score", "size", "sharpness", "profile"),
    *("name", "reason", "nearest", "similarity", "margin", "confidence", "error"),
)
_FACE_COLUMNS = tuple(column for column in COLUMNS if column not in ("source", "frame", "time", *_CORNERS, "error"))


def write_results_table(path: Path, records: Iterable[Record]) -> Counter[str]:
    """Write a CSV file with one row per face and one row per error.

    A row of a face is empty in the columns that do not apply, such as `frame` of a photo.

    Returns:
        The totals `photos`, `videos`, `failed` (photos and videos with an error), and `named`, `unsure` (not sure) and
        `unknown` (faces of photos and tracks of videos).
    """
    totals: Counter[str] = Counter()
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, COLUMNS)
        table.writeheader()
        for record in records:
            table.writerows(_table_rows(record))
            if record["what"] not in ("frame", "track"):
                totals[record["what"] + "s"] += 1
                totals["failed"] += record["error"] is not None
            if record["what"] != "frame":
                for face in [record] if record["what"] == "track" else record.get("faces", []):
                    totals[_outcome(face)] += 1
    return totals


def _outcome(face: Record) -> str:
    if face["name"] is not None:
        return "named"
    return "unknown" if face.get("reason") is None else "unsure"  # runs of earlier versions have no reasons


def _table_rows(record: Record) -> Iterator[dict[str, Any]]:
    source = {"source": escape_unprintable(record["source"])}
    if record["what"] in ("photo", "frame"):
        for face in record["faces"]:
            corners = dict(zip(_CORNERS, face["box"], strict=True))
            face_values = {key: face[key] for key in _FACE_COLUMNS if key in face}
            yield source | {key: record[key] for key in ("frame", "time") if key in record} | corners | face_values
    if record.get("error") is not None:
        yield source | {"error": escape_unprintable(record["error"])}
