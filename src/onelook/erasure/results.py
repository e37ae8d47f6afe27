"""Search and erase a person in the results of `identify-all` and `group`."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from onelook.erasure.discovery import TABLE_NAME, unreadable
from onelook.erasure.finding import Finding, format_counts, remove_file, replace_file
from onelook.erasure.groups import erase_groups, find_crops
from onelook.erasure.journal_records import erase_records
from onelook.erasure.person import Person
from onelook.erasure.pictures import redraw_picture
from onelook.errors import OnelookError
from onelook.file_locks import hold_lock
from onelook.files import atomic_file, resolve_inside
from onelook.media.embeddings_file import FILE_NAME as EMBEDDINGS_NAME
from onelook.media.identify_all import RUN_FILE_NAME
from onelook.media.journal import FILE_NAME as JOURNAL_NAME
from onelook.media.journal import read_records
from onelook.media.results_table import write_results_table
from onelook.untrusted import parse_json_object, read_limited


def search_results(folder: Path, person: Person) -> Iterator[Finding]:
    """Search the output folder of a run."""
    try:
        rows = _match_rows(folder, person)
        erased = erase_records((folder / JOURNAL_NAME).read_bytes(), person, rows)
        in_table = _is_in_table(folder / TABLE_NAME, person)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        advice = "finish the run with `onelook identify-all`, or remove the folder"
        yield Finding(folder, f"results, damaged or unfinished ({unreadable(folder, error).content})", advice=advice)
        return
    crops = find_crops(folder, rows)
    pictures = len(erased.pictures) + len(erased.redraws)
    content = format_counts({**erased.counts, "drawn picture": pictures, "group crop": len(crops)})
    if content or rows or in_table:
        content = content or "rest of an interrupted removal"
        yield Finding(folder, f"results: {content}", partial(_erase_results, folder, person))
    if _is_in_paths(folder, person):
        advice = "paths of photos stay in the results; rename the photos and identify them again in a new folder"
        yield Finding(folder, "results: paths of photos with the name", advice=advice)


def _erase_results(folder: Path, person: Person) -> None:
    """Erase a person from the results.

    Each file is replaced atomically. The embeddings are last, because they identify the faces without a name if the
    removal has to be repeated after a kill.
    """
    with _lock(folder):
        rows = _match_rows(folder, person)
        erased = erase_records((folder / JOURNAL_NAME).read_bytes(), person, rows)
        for picture in erased.pictures:
            remove_file(resolve_inside(folder, picture))
        for record, boxes in erased.redraws:
            redraw_picture(resolve_inside(folder, record["picture"]), record, boxes)
        erase_groups(folder, rows, erased.faces)
        replace_file(folder / JOURNAL_NAME, b"".join(erased.lines))
        if (folder / TABLE_NAME).exists():
            _rewrite_table(folder)
        if rows:
            _zero_rows(folder / EMBEDDINGS_NAME, rows)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    try:
        with hold_lock(folder / ".lock", busy=f"{folder}: another process is writing it; wait until it has ended"):
            yield
    except OSError as error:
        raise OnelookError(f"{folder}: cannot be changed ({error.strerror or error})") from error


def _match_rows(folder: Path, person: Person) -> set[int]:
    """Return the rows of unnamed faces and tracks that match the person."""
    fingerprint = parse_json_object(read_limited(folder / RUN_FILE_NAME))["model"]
    with safe_open(folder / EMBEDDINGS_NAME, framework="numpy") as file:
        embeddings = file.get_tensor("embeddings")
    return {int(row) for row in np.flatnonzero(person.match(fingerprint, embeddings))}


def _zero_rows(path: Path, rows: set[int]) -> None:
    """Zero rows of the embeddings in the bytes of the file, which keeps its padded header for the next run."""
    content = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    size = parse_json_object(bytes(content[8:start]))["embeddings"]["shape"][1] * 4
    for row in rows:
        content[start + row * size : start + (row + 1) * size] = bytes(size)
    replace_file(path, bytes(content))


def _rewrite_table(folder: Path) -> None:
    with atomic_file(folder / TABLE_NAME) as temporary:
        write_results_table(temporary, read_records(folder))


def _is_in_table(path: Path, person: Person) -> bool:
    """Return whether the table names the person, as a kill between journal and table leaves it."""
    if not path.exists():
        return False
    with path.open(encoding="utf-8", newline="") as stream:
        return any(person.name in (line.get("name"), line.get("nearest")) for line in csv.DictReader(stream))


def _is_in_paths(folder: Path, person: Person) -> bool:
    paths = io.BytesIO()
    for line in (folder / JOURNAL_NAME).read_bytes().splitlines():
        try:
            paths.write(json.dumps(parse_json_object(line, allow_surrogates=True)["source"]).encode())
        except (ValueError, KeyError, TypeError):
            continue
    return person.is_mentioned(paths.getvalue())
