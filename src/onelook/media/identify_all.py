"""Identifying everybody in folders and videos: written as it goes, begun again where it broke off.

    OUT/run.json                 what the run was begun with; another gallery, model or `every` is refused
    OUT/faces.jsonl              a line a photo, a video, a track, a frame with faces
    OUT/faces.csv                a row a face, written at the end
    OUT/embeddings.safetensors   of the unknown faces and tracks, by the `row` of their lines, for `onelook group`
    OUT/pictures/                the photos and videos with the faces drawn in, if asked for

All photos of a pass, or a whole video, are written in one step; what a kill cut off is done again from that step on.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from onelook.errors import OnelookError
from onelook.gallery.enrollment import PASS
from onelook.gallery.gallery import Gallery
from onelook.inference.parallel import batched, parallel_map
from onelook.media.discovery import Source
from onelook.media.journal import Journal, Line, current_lines
from onelook.media.photo_identification import Identified, identify_photos
from onelook.media.results_table import write_table
from onelook.media.video_identification import Watch, identify_video

BEGUN = "run.json"
_FORMAT = "onelook identify-all 1"
_SPOOL = ".sightings.jsonl"


def identify_all(
    gallery: Gallery,
    sources: Iterable[Source],
    out: Path,
    *,
    every: int = 1,
    pictures: bool = False,
    told: Callable[[Source, str | None], None] = lambda source, error: None,
    watched: Watch = lambda read, of: None,
) -> Counter[str]:
    """Identify the faces of all sources that `out` does not know yet.

    Args:
        gallery: names the faces.
        sources: photos and videos, see `find`; new and changed ones are added to what a run has found before.
        out: a new folder, or that of a run to go on with.
        every: of a video every so many frames one is looked at.
        pictures: whether to draw the faces in.
        told: called with each source that is done, known ones too, and what is wrong with it.
        watched: called within a video with the frames read and those that it tells of.

    Returns:
        The totals of the whole folder, see `write_table`.

    Raises:
        OnelookError: the folder is in use, holds something else or was begun with something else, or cannot be written.
    """
    with _writing(out):
        _begin(out, gallery, every, pictures)
        drawn = out / "pictures" if pictures else None
        with Journal(out, gallery.terms.embedding_size, gallery.terms.fingerprint) as journal:
            for kind, some in groupby(_fresh(sources, journal, told), key=lambda source: source.kind):
                if kind == "photo":
                    identify = partial(identify_photos, gallery, drawn)
                    with closing(parallel_map(identify, batched(some, PASS))) as portions:
                        for found in portions:
                            journal.write(_with_rows(found, journal.add_row))
                            for photo in found:
                                told(photo.source, photo.line["error"])
                    continue
                for source in some:
                    film = _Last(identify_video(gallery, source, every, out / _SPOOL, journal.add_row, drawn, watched))
                    journal.write(film)
                    told(source, film.line["error"])
        (out / _SPOOL).unlink(missing_ok=True)
        unfinished = out / ".faces.csv"
        totals = write_table(unfinished, current_lines(out))
        unfinished.replace(out / "faces.csv")
        return totals


def _with_rows(photos: Iterable[Identified], keep: Callable[[np.ndarray], int]) -> Iterator[Line]:
    for _, line, unknown in photos:
        for face, embedding in zip(line["faces"], unknown, strict=True):
            face["row"] = None if embedding is None else keep(embedding)
        yield line


class _Last:
    """Lines as they come, of which the last one is kept."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self.line: Line = {}

    def __iter__(self) -> Iterator[Line]:
        for line in self._lines:
            self.line = line
            yield line


def _fresh(sources: Iterable[Source], journal: Journal, told: Callable[[Source, str | None], None]) -> Iterator[Source]:
    for source in sources:
        if journal.knows(source):
            told(source, None)
        else:
            yield source


def _begin(out: Path, gallery: Gallery, every: int, pictures: bool) -> None:
    """Write down what the run is begun with, or refuse to go on with something else."""
    now = {
        "format": _FORMAT,
        "model": gallery.terms.fingerprint,
        "gallery": gallery.revision(),
        "every": every,
        "pictures": pictures,
    }
    path = out / BEGUN
    if not path.exists():
        if any(not each.name.startswith(".") for each in out.iterdir()):
            raise OnelookError(f"{out}: already holds something; name a folder that does not exist yet (--out)")
        unfinished = out / f".{BEGUN}"
        unfinished.write_text(json.dumps(now, indent=2) + "\n", encoding="ascii")
        unfinished.replace(path)
        return
    try:
        begun = json.loads(path.read_bytes())
        changed = [key for key in now if begun[key] != now[key]]
    except (ValueError, TypeError, KeyError) as error:
        raise OnelookError(f"{path}: damaged; name a new folder (--out)") from error
    what = {
        "format": "another version of onelook",
        "model": "another model",
        "gallery": "a gallery that held something else",
        "every": f"--every {begun['every']}",
        "pictures": "--pictures" if begun["pictures"] else "no --pictures",
    }
    for key in changed:
        raise OnelookError(f"{out}: was begun with {what[key]}; two kinds of results are not mixed: use a new --out")


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Hold the folder for this process, and say in one line what the disk does not let it do."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with FileLock(out / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise OnelookError(f"{out}: another process is writing it; wait until it has ended") from error
    except OSError as error:
        raise OnelookError(
            f"{os.fsdecode(error.filename) if error.filename else out}: cannot be read or written "
            f"({error.strerror or error}); when that is mended run it again, it goes on"
        ) from error
