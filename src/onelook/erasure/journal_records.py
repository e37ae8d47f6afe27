"""Erase a person from the records of `identify-all`.

A face is the person's by its name, or, of a face without a name, by the row of its embedding. Tracks of videos are like
faces; the faces of the frames belong to tracks.
"""

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from onelook.erasure.person import Person
from onelook.erasure.pictures import can_redraw
from onelook.media.journal_record import Record, parse_record

FaceKey = tuple[str, int | None, tuple[float, ...]]
"""Path, frame (None of a photo) and box of a face, which `groups.csv` states instead of the row."""


@dataclass
class ErasedRecords:
    """The records of a run without a person.

    Attributes:
        lines: the records as lines of the journal.
        counts: erased faces by kind.
        faces: erased faces without a name.
        pictures: drawn pictures to remove, relative to the folder of the run.
        redraws: records of photos whose pictures show others, too, with the boxes of the person's faces.
    """

    lines: list[bytes] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    faces: set[FaceKey] = field(default_factory=set)
    pictures: list[str] = field(default_factory=list)
    redraws: list[tuple[Record, list[list[float]]]] = field(default_factory=list)


def erase_records(content: bytes, person: Person, rows: Collection[int]) -> ErasedRecords:
    """Erase a person from the content of a journal.

    Args:
        content: the journal; a last line or video that is unfinished is dropped, as the next run would do.
        person: the person.
        rows: rows of the embeddings that match the person.

    Raises:
        ValueError, KeyError, TypeError: a record is damaged.
    """
    erased = ErasedRecords()
    entry: list[Record] = []
    for line in content[: content.rfind(b"\n") + 1].splitlines():
        record = parse_record(line)
        entry.append(record)
        if record["what"] in ("photo", "video"):
            _erase_entry(entry, person, rows, erased)
            entry = []
    return erased


def _erase_entry(entry: list[Record], person: Person, rows: Collection[int], erased: ErasedRecords) -> None:
    """Erase the person from the records of one photo or video, the last of which is that of the file."""
    tracks = {each["track"] for each in entry if each["what"] == "track" and _is_of(each, person, rows)}
    boxes: list[list[float]] = []
    kept: list[Record] = []
    for record in entry:
        if record["what"] == "track" and record["track"] in tracks:
            erased.counts["track"] += 1
            if record["name"] is None:
                erased.faces.add((record["source"], record["best"]["frame"], tuple(record["best"]["box"])))
            continue
        if record["what"] == "track":
            erased.counts["mention"] += _drop_nearest(record, person)
        elif record["what"] == "frame":
            record["faces"] = [face for face in record["faces"] if face["track"] not in tracks]
            erased.counts["mention"] += sum(_drop_nearest(face, person) for face in record["faces"])
            if not record["faces"]:
                continue
        elif record["what"] == "photo":
            own = [face for face in record["faces"] if _is_of(face, person, rows)]
            erased.counts["named face"] += sum(face["name"] is not None for face in own)
            erased.counts["similar unnamed face"] += sum(face["name"] is None for face in own)
            erased.faces |= {(record["source"], None, tuple(face["box"])) for face in own if face["name"] is None}
            record["faces"] = [face for face in record["faces"] if not any(face is each for each in own)]
            erased.counts["mention"] += sum(_drop_nearest(face, person) for face in record["faces"])
            boxes = [face["box"] for face in own]
        kept.append(record)
    last = entry[-1]
    if last["what"] == "video":
        last["tracks"] -= len(tracks)
    if (tracks or boxes) and last["picture"] is not None:
        if can_redraw(last):
            erased.redraws.append((last, boxes))
        else:
            erased.pictures.append(last["picture"])
            last["picture"] = None
    erased.lines += [_dump(record) for record in kept]


def _is_of(face: Record, person: Person, rows: Collection[int]) -> bool:
    return face["name"] == person.name or (face["row"] is not None and face["row"] in rows)


def _drop_nearest(face: Record, person: Person) -> bool:
    """Drop the similarity to the person from a face of somebody else; return whether there was one."""
    if face["nearest"] != person.name:
        return False
    face |= {"nearest": None, "similarity": None, "margin": None, "confidence": None}
    return True


def _dump(record: Record) -> bytes:
    return json.dumps(record, allow_nan=False).encode() + b"\n"
