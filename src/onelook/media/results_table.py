"""The faces of a run as a flat table, and its totals."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from onelook.gallery.names import one_line
from onelook.media.journal import Line

COLUMNS = (
    *("source", "frame", "time", "track", "x1", "y1", "x2", "y2", "score", "size", "sharpness"),
    *("name", "nearest", "similarity", "margin", "confidence", "error"),
)
_COPIED = ("track", "score", "size", "sharpness", "name", "nearest", "similarity", "margin", "confidence")


def write_table(path: Path, lines: Iterable[Line]) -> Counter[str]:
    """Write a CSV file, a row a face, or a row with what is wrong with a photo or video; what is absent is empty.

    Returns:
        How many photos, videos, faces, named, unknown (faces of photos and tracks of videos), and failed (photos and
        videos) there are.
    """
    totals: Counter[str] = Counter()
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, COLUMNS)
        table.writeheader()
        for line in lines:
            table.writerows(_table_rows(line))
            if line["what"] != "frame" and line["what"] != "track":
                totals[line["what"] + "s"] += 1
                totals["failed"] += line["error"] is not None
            if line["what"] != "frame":
                for face in [line] if line["what"] == "track" else line.get("faces", []):
                    totals["named" if face["name"] is not None else "unknown"] += 1
    return totals


def _table_rows(line: Line) -> Iterator[dict[str, Any]]:
    source = {"source": one_line(line["source"])}
    if line["what"] in ("photo", "frame"):
        for face in line["faces"]:
            corners = dict(zip(("x1", "y1", "x2", "y2"), face["box"], strict=True))
            copied = {key: face[key] for key in _COPIED if key in face}
            yield source | {key: line[key] for key in ("frame", "time") if key in line} | corners | copied
    if line.get("error") is not None:
        yield source | {"error": one_line(line["error"])}
