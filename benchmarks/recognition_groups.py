"""Rows of `recognition.py` by group: false accepts among UTKFace's photos of one age, sex and origin."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pair_metrics import Metric, accepted_impostors, impostor_matrix, impostor_threshold
from recognition_pairs import FAR, LFW, read_lfw_pairs, spread
from recognition_report import Cell, Table
from recognition_systems import EDGEFACE_XS_SYSTEM, ONELOOK, Photo, Systems, require

from onelook.errors import DataError

UTKFACE = "faces/utk/images"
PHOTOS = 400
"""Most photos of a group."""
MIN_PHOTOS = 30
SAME_PERSON = 0.6
"""Similarity by EdgeFace-XS above which two photos may show one person, and are no pair."""
SEXES = ("men", "women")
ORIGINS = ("White", "Black", "Asian", "Indian", "other")
ADULT = 18
AGES = {"children, 3–12": (3, 12), "13–17": (13, 17), "18–39": (18, 39), "40–59": (40, 59), "60 and older": (60, 120)}


class Subject(NamedTuple):
    """The labels of a photo of UTKFace."""

    path: Path
    age: int
    sex: int
    origin: int


def measure_groups(systems: Systems, data: Path, utkface: Path | None, limit: int | None) -> list[Table]:
    """Measure the FAR within each group of UTKFace at the threshold of 1 % of LFW's impostor pairs.

    Raises:
        DataError: a folder is missing, or EdgeFace-XS is not installed.
    """
    if EDGEFACE_XS_SYSTEM not in systems.names:
        raise DataError("EdgeFace-XS, which drops pairs of one person, is not installed: `pip install 'onelook[mesh]'`")
    subjects = read_utkface(require(utkface or data / UTKFACE))
    paths, pairs = read_lfw_pairs(require(data / LFW), limit)
    people = np.zeros(len(paths), np.int64)
    people[pairs.photos] = pairs.people
    lfw = systems.embed([Photo(path) for path in paths], "LFW").embeddings
    thresholds = {name: impostor_threshold(lfw[name], people, FAR) for name in systems.names}
    most = PHOTOS if limit is None else min(limit, PHOTOS)
    rows: list[dict[str, Cell]] = []
    for title, belongs in groups().items():
        members = spread([subject for subject in subjects if belongs(subject)], most)
        if len(members) >= MIN_PHOTOS:
            rows.append({"group": title, **measure_group(systems, members, thresholds, title)})
    notes = (
        "Every pair shows two people of the group. Threshold of a system: 1 % of all pairs of different people in "
        f"LFW's {len(paths)} development test photos reach it.",
        "*Not found*: photos without a face by onelook and by SCRFD-500M; they are in no pair of that system.",
        f"*Left out*: pairs over {SAME_PERSON} by EdgeFace-XS, likely one person. This favors EdgeFace-XS.",
        "UTKFace has no names. It is among the faces that onelook's embedding is distilled on, without identities.",
        "Intervals over the photos.",
    )
    return [Table("groups", "False accepts within a group, UTKFace", rows, notes)]


def measure_group(
    systems: Systems, members: Sequence[Subject], thresholds: dict[str, float], title: str
) -> dict[str, Cell]:
    """Return the cells of a group."""
    embeddings = systems.embed([Photo(subject.path) for subject in members], title).embeddings
    people = np.arange(len(members))
    judge, is_judged = impostor_matrix(embeddings[EDGEFACE_XS_SYSTEM], people)
    may_be_one = is_judged & (judge > SAME_PERSON)
    missing = [int((~np.isfinite(embeddings[name][:, 0])).sum()) for name in (ONELOOK, EDGEFACE_XS_SYSTEM)]
    cells: dict[str, Cell] = {
        "photos": len(members),
        "not found": ", ".join(map(str, missing)),
        "left out": int(may_be_one.sum()) // 2,
    }
    for name in systems.names:
        similarities, is_pair = impostor_matrix(embeddings[name], people)
        far: Metric = accepted_impostors(similarities, is_pair & ~may_be_one, people, thresholds[name])
        cells[name] = far
    return cells


def groups() -> dict[str, Callable[[Subject], bool]]:
    """Return the groups: ages, and adults by sex and origin."""
    chosen: dict[str, Callable[[Subject], bool]] = {"adults": lambda subject: subject.age >= ADULT}
    for title, (low, high) in AGES.items():
        chosen[title] = lambda subject, low=low, high=high: low <= subject.age <= high
    for sex, plural in enumerate(SEXES):
        for origin, adjective in enumerate(ORIGINS):
            chosen[f"{plural}, {adjective}"] = lambda subject, labels=(sex, origin): (
                subject.age >= ADULT and (subject.sex, subject.origin) == labels
            )
    return chosen


def read_utkface(folder: Path) -> list[Subject]:
    """Read the labels from the file names `age_sex_origin_date`; other files are left out.

    Raises:
        DataError: no file has such a name.
    """
    subjects = [subject for path in sorted(folder.glob("*.jpg")) if (subject := parse_name(path)) is not None]
    if not subjects:
        raise DataError(f"{folder}: no file is named age_sex_origin_date.jpg; name UTKFace's folder (--utkface)")
    return subjects


def parse_name(path: Path) -> Subject | None:
    """Parse a file name of UTKFace; None where a label is missing, as in some of its names."""
    fields = path.name.split("_")
    if len(fields) < 4 or not all(field.isdecimal() for field in fields[:3]):
        return None
    age, sex, origin = map(int, fields[:3])
    return Subject(path, age, sex, origin) if sex < len(SEXES) and origin < len(ORIGINS) else None
