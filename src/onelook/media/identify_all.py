"""Resumable identification of all faces in folders of photos and videos.

Files of the output folder:

- `run.json`: the options of the run; a run with another gallery, model or `every` is rejected.
- `faces.jsonl`: the journal, with a record per photo, video, track and frame with faces.
- `faces.csv`: the table of faces, written at the end.
- `embeddings.safetensors`: embeddings of the unknown faces and tracks, at the `row` of their records.
- `pictures/`: copies of the photos and videos with the faces drawn in, on request.

A batch of photos or a whole video is one transaction of the journal. After a kill, the next run repeats the unfinished
transaction and continues from there.
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

from onelook.errors import OnelookError, WriteError
from onelook.file_locks import hold_lock
from onelook.files import atomic_file, create_private_file, make_private_folder, write_text
from onelook.gallery.gallery import Gallery
from onelook.inference.parallel import batched, parallel_map
from onelook.media.discovery import MediaFile
from onelook.media.journal import Journal, Record, read_records
from onelook.media.photo_identification import IdentifiedPhoto, identify_photos
from onelook.media.results_table import write_results_table
from onelook.media.video_identification import FrameCallback, identify_video
from onelook.untrusted import parse_json_object, printable, read_limited

RUN_FILE_NAME = "run.json"
_FORMAT = "onelook identify-all 1"
_FRAMES_FILE_NAME = ".frames.jsonl"

FileCallback = Callable[[MediaFile, str | None], None]
"""Function called with a finished file and its error, if any."""


def identify_all(
    gallery: Gallery,
    files: Iterable[MediaFile],
    out: Path,
    *,
    every: int = 1,
    pictures: bool = False,
    on_file: FileCallback = lambda file, error: None,
    on_frames: FrameCallback = lambda frames_read, frame_count: None,
) -> Counter[str]:
    """Identify the faces of all files that the output folder does not hold yet.

    Args:
        gallery: gallery to search.
        files: photos and videos, see `find_media_files`; new and changed ones are added to earlier results.
        out: output folder, new or of the run to continue.
        every: frame step in videos; 1 identifies the faces of every frame.
        pictures: write copies of the files with the faces drawn in.
        on_file: called after each file, with its error; also for files that were done before.
        on_frames: called within a video, with the number of frames read and the container's frame count.

    Returns:
        The totals of the whole folder, see `write_results_table`.

    Raises:
        OnelookError: the folder is in use, holds other files, belongs to a run with other options, or cannot be
            written.
    """
    with _lock_folder(out):
        _check_run_options(out, gallery, every, pictures)
        picture_folder = out / "pictures" if pictures else None
        frames_file = out / _FRAMES_FILE_NAME
        create_private_file(frames_file)
        with Journal(out, gallery.metadata.embedding_size, gallery.metadata.fingerprint) as journal:
            for kind, group in groupby(_skip_done(files, journal, on_file), key=lambda file: file.kind):
                if kind == "photo":
                    _identify_photos(gallery, group, journal, picture_folder, on_file)
                    continue
                for file in group:
                    records = _LastItem(
                        identify_video(
                            gallery, file, every, frames_file, journal.add_embedding, picture_folder, on_frames
                        )
                    )
                    journal.write_transaction(records)
                    on_file(file, records.last["error"])
        frames_file.unlink(missing_ok=True)
        with atomic_file(out / "faces.csv") as temporary:
            return write_results_table(temporary, read_records(out))


def _identify_photos(
    gallery: Gallery,
    files: Iterable[MediaFile],
    journal: Journal,
    picture_folder: Path | None,
    on_file: FileCallback,
) -> None:
    """Identify photos in parallel and write one transaction per batch."""
    identify = partial(identify_photos, gallery, picture_folder)
    with closing(parallel_map(identify, batched(files, gallery.batch_size))) as batches:
        for photos in batches:
            journal.write_transaction(_assign_rows(photos, journal.add_embedding))
            for photo in photos:
                on_file(photo.file, photo.record["error"])


def _assign_rows(photos: Iterable[IdentifiedPhoto], add_embedding: Callable[[np.ndarray], int]) -> Iterator[Record]:
    """Store the embeddings of the unknown faces and yield the records with their row indices."""
    for _, record, embeddings in photos:
        for face, embedding in zip(record["faces"], embeddings, strict=True):
            face["row"] = None if embedding is None else add_embedding(embedding)
        yield record


class _LastItem:
    """Iterable over records that remembers the last one."""

    def __init__(self, records: Iterator[Record]) -> None:
        self._records = records
        self.last: Record = {}

    def __iter__(self) -> Iterator[Record]:
        for record in self._records:
            self.last = record
            yield record


def _skip_done(files: Iterable[MediaFile], journal: Journal, on_file: FileCallback) -> Iterator[MediaFile]:
    for file in files:
        if journal.is_done(file):
            on_file(file, None)
        else:
            yield file


def _check_run_options(out: Path, gallery: Gallery, every: int, pictures: bool) -> None:
    """Write the options of a new run, or reject options that differ from those of the run to continue."""
    options = {
        "format": _FORMAT,
        "model": gallery.metadata.fingerprint,
        "gallery": gallery.revision(),
        "every": every,
        "pictures": pictures,
        "fpir": gallery.fpir,
    }
    path = out / RUN_FILE_NAME
    if not path.exists():
        if any(not entry.name.startswith(".") for entry in out.iterdir()):
            raise OnelookError(f"{out}: already holds other files; name a folder that does not exist yet (--out)")
        write_text(path, json.dumps(options, indent=2) + "\n")
        return
    try:
        stored = {"fpir": None, **parse_json_object(read_limited(path))}  # runs of earlier versions lack it
        changed = [key for key in options if stored[key] != options[key]]
    except (ValueError, TypeError, KeyError) as error:
        raise OnelookError(f"{path}: damaged; name a new folder (--out)") from error
    descriptions = {
        "format": "another version of onelook",
        "model": "another model",
        "gallery": "a gallery that held something else",
        "every": f"--every {printable(str(stored['every']))}",
        "pictures": "--pictures" if stored["pictures"] else "no --pictures",
        "fpir": "no --fpir" if stored["fpir"] is None else f"--fpir {printable(str(stored['fpir']))}",
    }
    if changed:
        raise OnelookError(
            f"{out}: was begun with {descriptions[changed[0]]}; start a new folder for new options (--out)"
        )


@contextmanager
def _lock_folder(out: Path) -> Iterator[None]:
    """Create and lock the output folder, and convert file system errors to one-line errors."""
    try:
        make_private_folder(out)
        with hold_lock(out / ".lock", busy=f"{out}: another process is writing it; wait until it has ended"):
            yield
    except WriteError as error:
        raise OnelookError(f"{error}; fix this and run it again, it continues") from error
    except OSError as error:
        raise OnelookError(
            f"{os.fsdecode(error.filename) if error.filename else out}: cannot be read or written "
            f"({error.strerror or error}); fix this and run it again, it continues"
        ) from error
